"""Thresholds, prices and limits: one file, `thresholds.yaml`, and its typed, checked form.

>>> thresholds().ctr.min_rows > 0
True
"""

from include.config.load import ConfigInvalid, load_thresholds, thresholds
from include.config.model import Thresholds

__all__ = ["ConfigInvalid", "Thresholds", "load_thresholds", "thresholds"]

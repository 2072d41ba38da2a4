"""Reads `thresholds.yaml` and refuses it with one sentence per mistake."""

import functools
import os
from pathlib import Path

import yaml
from pydantic import ValidationError

from include.config.model import Thresholds
from include.errors import PermanentError

DEFAULT_FILE = Path(__file__).parent / "thresholds.yaml"


class ConfigInvalid(PermanentError):
    """The thresholds file cannot be used; the message names every wrong value by its path."""


def load_thresholds(path: Path) -> Thresholds:
    """Read and check one thresholds file.

    Raises:
        ConfigInvalid: the file is missing, is not YAML, or a value is missing, unknown or out of range.
    """
    try:
        values = yaml.safe_load(path.read_text())
    except OSError as error:
        raise ConfigInvalid(f"thresholds file {path}: cannot be read ({error.strerror})") from error
    except yaml.YAMLError as error:
        raise ConfigInvalid(f"thresholds file {path}: not valid YAML ({error})") from error
    try:
        return Thresholds.model_validate(values)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ConfigInvalid(f"thresholds file {path}: {wrong}") from error


@functools.cache
def thresholds() -> Thresholds:
    """The thresholds in force: the file `NIGHTSHIFT_THRESHOLDS` names, else the one beside this module."""
    return load_thresholds(Path(os.environ.get("NIGHTSHIFT_THRESHOLDS") or DEFAULT_FILE))

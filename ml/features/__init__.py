"""Feature sets: what the models see of the platform's data."""

from ml.features.ads import AD_FEATURES, FEATURE_SET, FeatureInputInvalid, build_ad_features
from ml.features.frame import FeatureFrame

__all__ = ["AD_FEATURES", "FEATURE_SET", "FeatureFrame", "FeatureInputInvalid", "build_ad_features"]

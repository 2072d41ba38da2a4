"""Settings of trainings that tests can wait for: those in force, with fewer rounds."""

from dataclasses import replace

from include.config import thresholds
from ml.ctr import CtrSettings
from nightshift.train_model import ctr_settings


def quick_settings(**changes: object) -> CtrSettings:
    """The settings in force, made quick; `changes` replace whole sections."""
    settings = ctr_settings(thresholds().ctr)
    quick = replace(
        settings,
        xgboost=replace(
            settings.xgboost, rounds=60, early_stopping_rounds=10, learning_rate=0.15, max_depth=4
        ),
        lightgbm=replace(settings.lightgbm, rounds=60, early_stopping_rounds=10, learning_rate=0.15),
        mlp=replace(settings.mlp, epochs=12, patience=3, batch_rows=256, hidden=16),
    )
    return replace(quick, **changes)  # type: ignore[arg-type]

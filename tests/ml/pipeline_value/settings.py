"""Small settings, for tests that train."""

from ml.pipeline_value import HazardSettings, PipelineGates, PipelineSettings

SETTINGS = PipelineSettings(
    min_deals=200,
    min_won=40,
    min_lost=40,
    min_campaign_deals=15,
    horizon_days=45,
    window_days=60,
    max_training_days=540,
    interval=0.9,
    draws=200,
    seed=7,
    hazard=HazardSettings(
        rounds=40,
        early_stopping_rounds=8,
        learning_rate=0.2,
        leaves=6,
        min_rows=60,
        reg_lambda=10.0,
        feature_share=0.6,
        validation_share=0.2,
    ),
    gates=PipelineGates(mape_campaign=0.5, ratio_low=0.6, ratio_high=1.6, coverage_low=0.5),
)

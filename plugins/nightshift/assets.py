"""The data of the house, by name. Airflow's asset graph of these is the map of the night.

Each is emitted and consumed by the DAGs its comment names.
"""

from airflow.sdk import Asset

# Emitted by meta_insights_etl; read by nightly_batch_api, warm_caches, train_ctr_model and drift_report.
ADS_PERFORMANCE = Asset("nightshift://ads/performance_metric", group="ads")

# Emitted by hubspot_etl; read by what learns from deals.
CRM_DEALS = Asset("nightshift://crm/deals", group="crm")

# Emitted by mine_ad_features: features mined from raw_data, of every ad and day; read by train_ctr_model.
MINED_FEATURES = Asset("nightshift://ads/mined_features", group="ads")

# Emitted by visual_analysis_gpu; starts creative_effects.
VISUAL_SCENES = Asset("nightshift://visual/scenes", group="visual")

# Emitted by nightly_batch_api; starts warm_caches, and is read by weekly_learning_report.
LLM_RESULTS = Asset("nightshift://llm/results", group="llm")

# Emitted by warm_caches; read by housekeeping, which has the cache learn, and by weekly_learning_report.
LLM_CACHE = Asset("nightshift://llm/cache", group="llm")

# Emitted by train_ctr_model for every version it registers; starts evaluate_experiment, and is read by
# drift_report, warm_caches and weekly_learning_report.
CTR_MODEL = Asset("nightshift://models/ctr", group="models")

# Emitted by train_pipeline_value; starts forecast_pipeline.
PIPELINE_MODEL = Asset("nightshift://models/pipeline_value", group="models")

# Emitted by forecast_pipeline: what open deals will bring, per campaign and ad; read by the weekly report.
PIPELINE_FORECAST = Asset("nightshift://models/pipeline_forecast", group="models")

# Emitted by drift_report every day; read by weekly_learning_report.
DRIFT_REPORT = Asset("nightshift://models/drift_report", group="models")

# Emitted by drift_report when it wants a new model; starts train_ctr_model.
RETRAIN_WANTED = Asset("nightshift://models/ctr/retrain_wanted", group="models")

# Emitted by evaluate_experiment when a challenger proved better, and by promote_model for what it has to put
# off; starts promote_model. Its extra: model, version, reason and verdict, or a list `wanted` of these.
PROMOTION_WANTED = Asset("nightshift://models/promotion_wanted", group="models")

# Emitted by MLflow's webhook for every alias that is set or dropped, also by ourselves and also a
# challenger's, and by promote_model and roll_back_model; starts watch_registry.
ALIAS_MOVED = Asset("nightshift://models/alias_moved", group="models")

# Emitted by promote_model and roll_back_model, and by watch_registry for what happened without them: another
# version predicts from now on; starts warm_caches. Its extra, where watch_registry emits it: the models.
CHAMPION_MOVED = Asset("nightshift://models/champion_moved", group="models")

"""The data of the house, by name. Airflow's asset graph of these is the map of the night.

Each is emitted and consumed by the DAGs its comment names.
"""

from airflow.sdk import Asset

# Emitted by meta_insights_etl; read by nightly_batch_api, warm_caches, train_ctr_model and drift_report.
ADS_PERFORMANCE = Asset("nightshift://ads/performance_metric", group="ads")

# Emitted by nightly_batch_api; starts warm_caches, and is read by weekly_learning_report.
LLM_RESULTS = Asset("nightshift://llm/results", group="llm")

# Emitted by warm_caches; read by housekeeping, which has the cache learn, and by weekly_learning_report.
LLM_CACHE = Asset("nightshift://llm/cache", group="llm")

# Emitted by train_ctr_model for every version it registers; read by drift_report and weekly_learning_report.
CTR_MODEL = Asset("nightshift://models/ctr", group="models")

# Emitted by drift_report every day; read by weekly_learning_report.
DRIFT_REPORT = Asset("nightshift://models/drift_report", group="models")

# Emitted by drift_report when it wants a new model; starts train_ctr_model.
RETRAIN_WANTED = Asset("nightshift://models/ctr/retrain_wanted", group="models")

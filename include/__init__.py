"""The outside world: database, vendors, the local stack. Never imports Airflow."""

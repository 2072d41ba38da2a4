"""The science: pure functions and estimators. Never imports Airflow or `include`."""

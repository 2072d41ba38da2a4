"""Addresses of pages that messages point people to."""

from __future__ import annotations

from urllib.parse import quote


def run_url(dag_id: str, run_id: str) -> str:
    """The page of one run in Airflow, as people reach it."""
    from airflow.sdk.configuration import conf

    base = conf.get("api", "base_url", fallback="http://localhost:8080").rstrip("/")
    return f"{base}/dags/{quote(dag_id, safe='')}/runs/{quote(run_id, safe='')}"


def model_version_url(model_name: str, version: int) -> str | None:
    """The page of a model version in MLflow, `None` where `mlflow_default` names no `public_url`."""
    from airflow.sdk.exceptions import AirflowNotFoundException

    from nightshift.connections import connection

    try:
        base = connection("mlflow_default").extra_dejson.get("public_url")
    except AirflowNotFoundException:
        return None
    return f"{base.rstrip('/')}/#/models/{quote(model_name, safe='')}/versions/{version}" if base else None

"""Addresses of pages that messages point people to."""

from __future__ import annotations

from datetime import date
from urllib.parse import quote


def run_url(dag_id: str, run_id: str) -> str:
    """The page of one run in Airflow, as people reach it."""
    return f"{_base()}/dags/{quote(dag_id, safe='')}/runs/{quote(run_id, safe='')}"


def model_version_url(model_name: str, version: int) -> str | None:
    """The page of a model version in MLflow, `None` where `mlflow_default` names no `public_url`."""
    from airflow.sdk.exceptions import AirflowNotFoundException

    from nightshift.connections import connection

    try:
        base = connection("mlflow_default").extra_dejson.get("public_url")
    except AirflowNotFoundException:
        return None
    return f"{base.rstrip('/')}/#/models/{quote(model_name, safe='')}/versions/{version}" if base else None


def task_answer_url(dag_id: str, run_id: str, task_id: str) -> str:
    """Where a person answers a task that waits for one."""
    return f"{run_url(dag_id, run_id)}/tasks/{quote(task_id, safe='')}/required_actions"


def dag_url(dag_id: str) -> str:
    """The page of a DAG, with its trigger button."""
    return f"{_base()}/dags/{quote(dag_id, safe='')}"


def models_url() -> str:
    """Nightshift's own page about models and their aliases."""
    from nightshift.pages.links import PREFIX

    return f"{_base()}{PREFIX}/models"


def promotion_url(promotion_id: int) -> str:
    """Nightshift's own page with the evidence of a promotion."""
    return f"{models_url()}/promotions/{promotion_id}"


def drift_url(model_name: str, scope: str, day: date) -> str:
    """Nightshift's own page about one day's drift report."""
    from nightshift.pages.links import PREFIX

    path = "/".join(quote(part, safe="") for part in (model_name, scope, day.isoformat()))
    return f"{_base()}{PREFIX}/drift/{path}"


def _base() -> str:
    from airflow.sdk.configuration import conf

    return str(conf.get("api", "base_url", fallback="http://localhost:8080")).rstrip("/")

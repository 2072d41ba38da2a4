"""The variables that every program of the stack reads: Airflow's configuration and all connections.

The same names are used in production (`.env.example`, `docker-compose.airflow.yml`); only the values differ.
"""

import json
from typing import Any

from include.stack.settings import LOOPBACK, REPOSITORY, StackSettings

# Every process of a stack carries this variable, so that what a killed run left behind can be found.
MARKER = "NIGHTSHIFT_STACK"

DATABASES = ("nightshift", "airflow", "mlflow")


def stack_environment(settings: StackSettings, secrets: dict[str, str]) -> dict[str, str]:
    """Variables for the programs of the stack, on top of the caller's own."""
    return {
        MARKER: str(settings.var),
        "NIGHTSHIFT_VAR": str(settings.var),
        "NIGHTSHIFT_SANDBOX_URL": settings.url("sandbox"),
        "NIGHTSHIFT_SANDBOX_KEY": secrets["sandbox_key"],
        "NIGHTSHIFT_API_KEYS": json.dumps({"*": secrets["api_key"]}),
        # Where MLflow tells Airflow that an alias moved, and what it signs that with.
        "NIGHTSHIFT_MLFLOW_WEBHOOK_URL": f"{settings.url('airflow')}/nightshift/mlflow/webhook",
        "NIGHTSHIFT_MLFLOW_WEBHOOK_SECRET": secrets["mlflow_webhook_secret"],
        "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'plugins'}",
        "PYTHONUNBUFFERED": "1",
        "DO_NOT_TRACK": "1",
        # Two cores are shared by five services: a task that spins up a thread per core slows all of them.
        "OMP_NUM_THREADS": "2",
        "MPLBACKEND": "Agg",
        **connections(settings, secrets),
        **mlflow_environment(settings, secrets),
        **airflow_environment(settings, secrets),
    }


def connections(settings: StackSettings, secrets: dict[str, str]) -> dict[str, str]:
    """`AIRFLOW_CONN_*` of the local stack, as JSON."""
    sandbox, key = settings.url("sandbox"), secrets["sandbox_key"]
    slack = {"conn_type": "slack", "password": key}
    values: dict[str, dict[str, Any]] = {
        "nightshift_db": {
            "conn_type": "postgres",
            "host": LOOPBACK,
            "port": settings.ports["postgres"],
            "login": "postgres",
            "password": secrets["postgres_password"],
            "schema": "nightshift",
        },
        "redis_default": {
            "conn_type": "redis",
            "host": LOOPBACK,
            "port": settings.ports["redis"],
            "password": secrets["redis_password"],
        },
        "mlflow_default": {
            "conn_type": "http",
            "host": settings.url("mlflow"),
            "extra": {"public_url": settings.url("mlflow")},
        },
        "anthropic_default": {
            "conn_type": "anthropic",
            "host": f"{sandbox}/anthropic",
            "password": key,
            "extra": {"poll_seconds": 2},
        },
        "openai_default": {
            "conn_type": "openai",
            "host": f"{sandbox}/openai/v1",
            "password": key,
            "extra": {"poll_seconds": 2},
        },
        "meta_ads_default": {"conn_type": "http", "host": f"{sandbox}/meta", "password": key},
        "hubspot_default": {
            "conn_type": "http",
            "host": f"{sandbox}/hubspot",
            "password": key,
            "extra": {"hmac_key": secrets["crm_hmac_key"]},
        },
        "slack_alerts": slack
        | {"extra": {"base_url": f"{sandbox}/slack/api/", "channel": "#nightshift-alerts"}},
        "slack_reports": slack
        | {"extra": {"base_url": f"{sandbox}/slack/api/", "channel": "#nightshift-reports"}},
    }
    return {f"AIRFLOW_CONN_{name.upper()}": json.dumps(value) for name, value in values.items()}


def database_url(settings: StackSettings, secrets: dict[str, str], database: str, driver: str = "") -> str:
    """SQLAlchemy URL of one of `DATABASES` on the embedded PostgreSQL."""
    password = secrets["postgres_password"]
    return f"postgresql{driver}://postgres:{password}@{LOOPBACK}:{settings.ports['postgres']}/{database}"


def mlflow_environment(settings: StackSettings, secrets: dict[str, str]) -> dict[str, str]:
    """Settings of the MLflow server and of its clients."""
    return {
        "MLFLOW_BACKEND_STORE_URI": database_url(settings, secrets, "mlflow", "+psycopg"),
        "MLFLOW_ARTIFACTS_DESTINATION": (settings.var / "mlflow" / "artifacts").as_uri(),
        "MLFLOW_TRACKING_URI": settings.url("mlflow"),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets["mlflow_secret_key"],
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        # Shorter than the default two minutes: Airflow's retries are the patient ones.
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        # Webhooks go to Airflow, which is on loopback here, and without TLS.
        "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "https,http",
        "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
        # Without it each process makes a key of its own, and cannot read what another wrote.
        "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": secrets["mlflow_webhook_fernet_key"],
    }


def airflow_environment(settings: StackSettings, secrets: dict[str, str]) -> dict[str, str]:
    """Airflow's configuration: LocalExecutor on PostgreSQL, one generated admin, loopback only."""
    home = settings.var / "airflow"
    options = {
        ("core", "dags_folder"): REPOSITORY / "dags",
        ("core", "plugins_folder"): REPOSITORY / "plugins",
        ("core", "load_examples"): False,
        ("core", "executor"): "LocalExecutor",
        ("core", "parallelism"): 4,
        ("core", "fernet_key"): secrets["airflow_fernet_key"],
        ("core", "auth_manager"): (
            "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager"
        ),
        ("core", "simple_auth_manager_users"): "admin:admin",
        ("core", "simple_auth_manager_all_admins"): False,
        ("core", "simple_auth_manager_passwords_file"): home / "simple_auth_manager_passwords.json",
        ("core", "execution_api_server_url"): f"{settings.url('airflow')}/execution/",
        ("core", "default_timezone"): "utc",
        ("database", "sql_alchemy_conn"): database_url(settings, secrets, "airflow", "+psycopg2"),
        ("api", "host"): LOOPBACK,
        ("api", "port"): settings.ports["airflow"],
        ("api", "base_url"): settings.url("airflow"),
        ("api", "workers"): 1,
        ("api", "instance_name"): "Nightshift",
        ("api_auth", "jwt_secret"): secrets["airflow_jwt_secret"],
        ("logging", "base_log_folder"): settings.logs / "airflow",
        ("logging", "dag_processor_child_process_log_directory"): settings.logs / "airflow" / "dag_processor",
        ("scheduler", "enable_health_check"): False,
    }
    variables = {
        f"AIRFLOW__{section}__{key}".upper(): str(value) for (section, key), value in options.items()
    }
    return variables | {"AIRFLOW_HOME": str(home)}

"""This machine's own passwords and keys: made once, kept in `var/secrets.json`, readable by its owner only.

There is no default password anywhere. A variable of the environment wins over the stored value.
"""

import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from cryptography.fernet import Fernet

from include.errors import PermanentError

# Name of the secret -> the variable that overrides it.
SECRETS = {
    "postgres_password": "NIGHTSHIFT_POSTGRES_PASSWORD",
    "redis_password": "NIGHTSHIFT_REDIS_PASSWORD",
    "airflow_password": "NIGHTSHIFT_AIRFLOW_PASSWORD",
    "airflow_jwt_secret": "NIGHTSHIFT_AIRFLOW_JWT_SECRET",
    "airflow_fernet_key": "NIGHTSHIFT_AIRFLOW_FERNET_KEY",
    "sandbox_key": "NIGHTSHIFT_SANDBOX_KEY",
    "mlflow_secret_key": "NIGHTSHIFT_MLFLOW_SECRET_KEY",
    "api_key": "NIGHTSHIFT_API_KEY",
    "mlflow_webhook_secret": "NIGHTSHIFT_MLFLOW_WEBHOOK_SECRET",
    "mlflow_webhook_fernet_key": "NIGHTSHIFT_MLFLOW_WEBHOOK_FERNET_KEY",
    "crm_hmac_key": "NIGHTSHIFT_CRM_HMAC_KEY",
}


class SecretsUnreadable(PermanentError):
    """The secrets file is there but cannot be used."""


def load_or_make_secrets(path: Path, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The secrets in `path`, made there on first use.

    Args:
        path: a JSON file; created with mode 0600.
        environ: variables of `SECRETS` found here win, and are not written to the file.

    Raises:
        SecretsUnreadable: the file is damaged. It is never overwritten, for the databases know its passwords.
    """
    stored = _read(path) if path.exists() else {}
    missing = [name for name in SECRETS if name not in stored]
    if missing:
        stored |= {name: _new(name) for name in missing}
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        partial.unlink(missing_ok=True)
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(stored, file, indent=2)
        partial.replace(path)
    return stored | {name: environ[variable] for name, variable in SECRETS.items() if environ.get(variable)}


def _new(name: str) -> str:
    return Fernet.generate_key().decode() if name.endswith("fernet_key") else secrets.token_urlsafe(24)


def _read(path: Path) -> dict[str, str]:
    try:
        values = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise SecretsUnreadable(
            f"{path} cannot be read ({type(error).__name__}): restore it, or remove the folder {path.parent} "
            "to start from nothing"
        ) from error
    if not isinstance(values, dict):
        raise SecretsUnreadable(f"{path} is not a JSON object: remove the folder {path.parent} to start anew")
    return {str(name): str(value) for name, value in values.items()}

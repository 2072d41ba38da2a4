"""Connections for programs that run outside Airflow, from the same variables Airflow reads.

`AIRFLOW_CONN_<NAME>` in the environment comes first; where it is not set, `var/stack.env`, which the local
stack writes while it is up, is asked. Values are JSON, as Airflow documents them.
"""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from include.errors import PermanentError

REPOSITORY = Path(__file__).parents[2]


class ConnectionMissing(PermanentError):
    """No such connection in the environment nor in the running stack."""


@dataclass(frozen=True)
class ConnectionInfo:
    """One connection. `password` is kept out of the representation."""

    conn_type: str
    host: str = ""
    port: int | None = None
    login: str = ""
    password: str = field(default="", repr=False)
    schema: str = ""
    extra: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def url(self) -> str:
        """`postgresql://user:password@host:port/schema`, for database connections."""
        credentials = f"{quote(self.login, safe='')}:{quote(self.password, safe='')}@" if self.login else ""
        port = f":{self.port}" if self.port else ""
        return f"postgresql://{credentials}{self.host}{port}/{self.schema}"


def connection(name: str) -> ConnectionInfo:
    """The connection called `name`.

    Raises:
        ConnectionMissing: it is set nowhere, or is not the JSON it should be.
    """
    variable = f"AIRFLOW_CONN_{name.upper()}"
    text = os.environ.get(variable) or _stack_environment().get(variable)
    if not text:
        raise ConnectionMissing(
            f"connection '{name}' is not set: export {variable} as JSON, or start the stack with `make up`"
        )
    try:
        values = json.loads(text)
        extra = values.get("extra") or {}
        return ConnectionInfo(
            conn_type=values["conn_type"],
            host=values.get("host") or "",
            port=int(values["port"]) if values.get("port") else None,
            login=values.get("login") or "",
            password=values.get("password") or "",
            schema=values.get("schema") or "",
            extra=json.loads(extra) if isinstance(extra, str) else extra,
        )
    except (ValueError, KeyError, AttributeError) as error:
        raise ConnectionMissing(
            f"connection '{name}': {variable} is not a JSON object with conn_type, host and so on "
            f"({type(error).__name__})"
        ) from error


def _stack_environment() -> dict[str, str]:
    directory = Path(os.environ.get("NIGHTSHIFT_VAR") or REPOSITORY / "var")
    path = directory / "stack.env"
    if not path.exists():
        return {}
    return dict(line.split("=", 1) for line in path.read_text().splitlines() if "=" in line)

"""`python -m include.serving --host 127.0.0.1 --port N`.

Reads the connections `nightshift_db`, `mlflow_default` and `redis_default`, and NIGHTSHIFT_API_KEYS; without
a key it does not start. Without `mlflow_default` it offers no predictions, without `redis_default` it
computes all of them.
"""

import argparse
import logging
import os
import sys
from contextlib import suppress
from pathlib import Path

import uvicorn
from sqlalchemy import Engine

from include.config import Thresholds, thresholds
from include.config.connections import REPOSITORY, ConnectionInfo, ConnectionMissing, connection
from include.db import make_engine
from include.errors import NightshiftError
from include.serving.app import Subject, create_app, llm_subject
from include.serving.keys import ApiKeys
from include.serving.predictions.subject import prediction_subject

log = logging.getLogger("include.serving")


def main(arguments: list[str] | None = None) -> int:
    """Serve until stopped; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m include.serving", description="Nightshift's HTTP service for applications."
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    parser.add_argument("--port", type=int, required=True)
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        keys, settings = ApiKeys.from_environment(), thresholds()
        engine = make_engine(
            connection("nightshift_db").url, statement_timeout_s=settings.serving.statement_timeout_s
        )
        app = create_app(keys, list(_subjects(engine, settings)), settings)
    except (NightshiftError, ValueError) as error:
        print(f"serving: {error}", file=sys.stderr)
        return 2
    # Addresses hold ids and nothing else, but nobody needs a line per poll.
    uvicorn.run(app, host=given.host, port=given.port, access_log=False, server_header=False, log_config=None)
    engine.dispose()
    return 0


def _subjects(engine: Engine, settings: Thresholds) -> list[Subject]:
    subjects = [llm_subject(engine, settings)]
    mlflow = _connection("mlflow_default")
    if mlflow is None:
        log.warning("connection mlflow_default is not set: predictions are not offered")
        return subjects
    folder = Path(os.environ.get("NIGHTSHIFT_VAR") or REPOSITORY / "var") / "serving"
    return [
        *subjects,
        prediction_subject(engine, mlflow.host, _connection("redis_default"), folder, settings),
    ]


def _connection(name: str) -> ConnectionInfo | None:
    with suppress(ConnectionMissing):
        return connection(name)
    return None


if __name__ == "__main__":
    sys.exit(main())

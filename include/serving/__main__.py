"""`python -m include.serving --host 127.0.0.1 --port N`.

Reads the connection `nightshift_db`, and NIGHTSHIFT_API_KEYS; without a key it does not start.
"""

import argparse
import logging
import sys

import uvicorn

from include.config import thresholds
from include.config.connections import connection
from include.db import make_engine
from include.errors import NightshiftError
from include.serving.app import create_app, llm_subject
from include.serving.keys import ApiKeys


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
        app = create_app(keys, [llm_subject(engine, settings)], settings)
    except (NightshiftError, ValueError) as error:
        print(f"serving: {error}", file=sys.stderr)
        return 2
    # Addresses hold ids and nothing else, but nobody needs a line per poll.
    uvicorn.run(app, host=given.host, port=given.port, access_log=False, server_header=False, log_config=None)
    engine.dispose()
    return 0


if __name__ == "__main__":
    sys.exit(main())

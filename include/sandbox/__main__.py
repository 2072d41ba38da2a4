"""`python -m include.sandbox --host 127.0.0.1 --port N --state DIR [--batch-seconds S]`.

The key is read from NIGHTSHIFT_SANDBOX_KEY; without one the sandbox does not start.
"""

import argparse
import os
import sys
from pathlib import Path

import uvicorn

from include.errors import NightshiftError
from include.sandbox.app import DEFAULT_BATCH_SECONDS, SandboxNotSafe, create_app
from include.sandbox.credentials import is_loopback
from include.sandbox.server import server_config


def main(arguments: list[str] | None = None) -> int:
    """Serve until stopped; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m include.sandbox", description="Local stand-ins of the vendors' HTTP APIs."
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--state", type=Path, required=True, metavar="DIR", help="folder of the state file")
    parser.add_argument(
        "--batch-seconds",
        type=float,
        default=DEFAULT_BATCH_SECONDS,
        help="seconds a message batch takes (default %(default)s)",
    )
    parser.add_argument(
        "--allow-other-hosts",
        action="store_true",
        help="listen on an address other machines can reach, as a container must",
    )
    given = parser.parse_args(arguments)
    try:
        if not is_loopback(given.host) and not given.allow_other_hosts:
            raise SandboxNotSafe(
                f"--host {given.host} can be reached by other machines;"
                " use 127.0.0.1, or add --allow-other-hosts"
            )
        key = os.environ.get("NIGHTSHIFT_SANDBOX_KEY", "")
        app = create_app(given.state, key, batch_seconds=given.batch_seconds)
    except NightshiftError as error:
        print(f"sandbox: {error}", file=sys.stderr)
        return 2
    uvicorn.Server(server_config(app, given.host, given.port, log_level="info")).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())

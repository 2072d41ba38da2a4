"""What Nightshift shows inside Airflow's own pages: the way to MLflow and, on a laptop, to the Slack inbox.

Airflow executes every file of this folder under its bare name; `.airflowignore` keeps the package
`nightshift` out of that, so this file is the only one it finds.
"""

import contextlib
import os

from airflow.plugins_manager import AirflowPlugin

from include.config.connections import ConnectionMissing, connection


def _links() -> list[dict[str, str]]:
    """Entries of the navigation bar that open other pages, for the services that are set up."""
    links = []
    # Missing where connections live in Airflow's database or a secrets backend, which no import may ask.
    with contextlib.suppress(ConnectionMissing, KeyError):
        links.append(_link("MLflow", str(connection("mlflow_default").extra["public_url"])))
    if sandbox := os.environ.get("NIGHTSHIFT_SANDBOX_URL"):
        links.append(_link("Slack inbox", f"{sandbox}/slack/inbox"))
    return links


def _link(name: str, href: str) -> dict[str, str]:
    return {"name": name, "href": href, "destination": "nav", "category": "browse"}


class NightshiftPlugin(AirflowPlugin):
    """Registers the links."""

    name = "nightshift"
    external_views = _links()

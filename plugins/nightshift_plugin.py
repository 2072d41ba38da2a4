"""What Nightshift shows inside Airflow's own pages: costs, cache and batches of language-model work, models
and their promotions, drift, mined features, what in pictures sells, and the way to MLflow and, on a laptop,
to the Slack inbox.

Airflow executes every file of this folder under its bare name; `.airflowignore` keeps the package
`nightshift` out of that, so this file is the only one it finds.
"""

import contextlib
import os

from airflow.plugins_manager import AirflowPlugin

from include.config.connections import ConnectionMissing, connection
from nightshift.pages.lazy import LazyApp
from nightshift.pages.links import PREFIX, NightBatchesLink

SAVINGS = {
    "name": "Language models",
    "href": f"{PREFIX}/llm",
    "destination": "nav",
    "category": "browse",
    "url_route": "language-models",
}

MODELS = {
    "name": "Models",
    "href": f"{PREFIX}/models",
    "destination": "nav",
    "category": "browse",
    "url_route": "models",
}

DRIFT = {
    "name": "Drift",
    "href": f"{PREFIX}/drift",
    "destination": "nav",
    "category": "browse",
    "url_route": "drift",
}


FEATURES = {
    "name": "Features",
    "href": f"{PREFIX}/features",
    "destination": "nav",
    "category": "browse",
    "url_route": "features",
}


PICTURES = {
    "name": "Pictures",
    "href": f"{PREFIX}/pictures",
    "destination": "nav",
    "category": "browse",
    "url_route": "pictures",
}

PIPELINE = {
    "name": "Pipeline",
    "href": f"{PREFIX}/pipeline",
    "destination": "nav",
    "category": "browse",
    "url_route": "pipeline",
}


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
    """Registers pages and links."""

    name = "nightshift"
    fastapi_apps = [  # noqa: RUF012 - Airflow's own form
        # First, for the one below answers to everything under its prefix, and asks for a login.
        {
            "app": LazyApp("nightshift.pages.webhook:create_app"),
            "url_prefix": f"{PREFIX}/mlflow",
            "name": "Nightshift for MLflow",
        },
        {"app": LazyApp("nightshift.pages.app:create_app"), "url_prefix": PREFIX, "name": "Nightshift pages"},
    ]
    external_views = [SAVINGS, MODELS, DRIFT, FEATURES, PICTURES, PIPELINE, *_links()]  # noqa: RUF012
    operator_extra_links = [NightBatchesLink()]  # noqa: RUF012

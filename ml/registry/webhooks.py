"""MLflow's word that an alias moved: a webhook that is kept as it should be, and its signature."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import TYPE_CHECKING, Any

from ml.registry.errors import registry_errors

if TYPE_CHECKING:
    from mlflow import MlflowClient

NAME = "nightshift-aliases"
EVENTS = ("model_version_alias.created", "model_version_alias.deleted")


def ensure_webhook(client: MlflowClient, url: str, secret: str) -> str:
    """Have MLflow tell `url` of every alias that is set or dropped, signed with `secret`; returns its id.

    MLflow never shows the secret again, so an existing webhook gets it anew. Doubles, which two first calls
    at once can make, are removed.

    Raises:
        RegistryUnavailable: as MLflow answered.
        RegistryRefused: likewise; MLflow takes only https and public addresses unless it is told otherwise.
    """
    with registry_errors(f"keep webhook '{NAME}'"):
        ours = [webhook for webhook in _webhooks(client) if webhook.name == NAME]
        for doubled in ours[1:]:
            client.delete_webhook(doubled.webhook_id)
        settings: dict[str, Any] = {"url": url, "events": list(EVENTS), "secret": secret, "status": "ACTIVE"}
        if ours:
            return str(client.update_webhook(ours[0].webhook_id, **settings).webhook_id)
        return str(client.create_webhook(NAME, **settings).webhook_id)


def signature(secret: str, delivery_id: str, timestamp: str, body: bytes) -> str:
    """What MLflow sends as `X-MLflow-Signature`.

    >>> signature("secret", "1", "1700000000", b"{}")
    'v1,PgYwgCReYGi/nHIJstsSuGGjDNi/hpmSB4ghtTP1cA4='
    """
    signed = f"{delivery_id}.{timestamp}.".encode() + body
    digest = hmac.new(secret.encode(), signed, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def _webhooks(client: MlflowClient) -> list[Any]:
    found: list[Any] = []
    page = client.list_webhooks()
    found += page
    while page.token:
        page = client.list_webhooks(page_token=page.token)
        found += page
    return sorted(found, key=lambda webhook: str(webhook.webhook_id))

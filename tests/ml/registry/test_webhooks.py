"""MLflow's webhook: kept once and as it should be, signed as MLflow signs."""

from __future__ import annotations

from typing import Any

import pytest
from mlflow.webhooks.delivery import _generate_hmac_signature

from ml.registry import RegistryRefused
from ml.registry.webhooks import EVENTS, NAME, ensure_webhook, signature

URL = "http://127.0.0.1:9/nightshift/mlflow/webhook"


@pytest.fixture
def bare(client: Any) -> Any:
    """A client of an MLflow without webhooks."""
    for webhook in client.list_webhooks():
        client.delete_webhook(webhook.webhook_id)
    return client


def test_it_is_made_once_and_follows_address_and_secret(bare: Any) -> None:
    first = ensure_webhook(bare, URL, "secret one")
    assert ensure_webhook(bare, f"{URL}/2", "secret two") == first
    (kept,) = bare.list_webhooks()
    assert (kept.name, kept.url) == (NAME, f"{URL}/2")
    assert {str(event) for event in kept.events} == set(EVENTS)


def test_one_that_was_switched_off_is_switched_on_and_doubles_go(bare: Any) -> None:
    for _ in range(2):
        bare.create_webhook(NAME, URL, ["prompt.created"], secret="x", status="DISABLED")
    bare.create_webhook("somebody-elses", URL, ["prompt.created"])
    ensure_webhook(bare, URL, "secret")
    kept = {webhook.name: webhook for webhook in bare.list_webhooks()}
    assert len(bare.list_webhooks()) == 2
    assert str(kept[NAME].status) == "ACTIVE"
    assert {str(event) for event in kept[NAME].events} == set(EVENTS)


def test_an_address_mlflow_does_not_take_is_refused(bare: Any) -> None:
    with pytest.raises(RegistryRefused, match="keep webhook"):
        ensure_webhook(bare, "ftp://example.com", "secret")


@pytest.mark.parametrize("body", ["{}", '{"data": {"name": "cträ"}}'])
def test_the_signature_is_mlflows_own(body: str) -> None:
    assert signature("s3cret", "id-1", "1700000000", body.encode()) == _generate_hmac_signature(
        "s3cret", "id-1", "1700000000", body
    )

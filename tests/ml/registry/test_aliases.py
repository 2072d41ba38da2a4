"""Aliases and tags in a real MLflow, and what is said when it is away."""

from __future__ import annotations

from typing import Any

import pytest
from mlflow.exceptions import MlflowException

from ml.registry import (
    PREVIOUS_CHAMPION,
    RegistryRefused,
    RegistryUnavailable,
    aliases_of,
    drop_alias,
    find_version,
    registered_models,
    set_alias,
    tag_version,
    version_exists,
)
from tests.include.promotion.registry import register_version


def test_an_alias_is_set_moved_and_dropped_as_often_as_one_likes(client: Any, name: str) -> None:
    register_version(client, name)
    register_version(client, name)
    set_alias(client, name, PREVIOUS_CHAMPION, 1)
    set_alias(client, name, PREVIOUS_CHAMPION, 2)
    assert aliases_of(client, name) == {"previous_champion": 2}
    for _ in range(2):
        drop_alias(client, name, PREVIOUS_CHAMPION)
    assert aliases_of(client, name) == {}


def test_what_is_not_there_is_nothing_or_refused(client: Any, name: str) -> None:
    assert aliases_of(client, name) == {}
    assert not version_exists(client, name, 1)
    assert find_version(client, name, 1) is None
    register_version(client, name)
    assert version_exists(client, name, 1)
    assert not version_exists(client, name, 2)
    with pytest.raises(RegistryRefused, match="make v2 of"):
        set_alias(client, name, "champion", 2)
    client.delete_model_version(name, "1")
    assert not version_exists(client, name, 1)


def test_tags_are_written_and_a_long_one_is_cut(client: Any, name: str) -> None:
    register_version(client, name)
    tag_version(client, name, 1, promotion_verdict="promoted", promotion_reason="x" * 6000)
    tags = client.get_model_version(name, "1").tags
    assert tags["promotion_verdict"] == "promoted"
    assert len(tags["promotion_reason"]) == 5000


def test_a_version_is_found_by_its_number_with_aliases_and_figures(client: Any, name: str) -> None:
    register_version(client, name, metrics={"mae_pp": 0.5}, tags={"reason": "a test"})
    set_alias(client, name, "champion", 1)
    found = find_version(client, name, 1)
    assert found is not None
    assert (found.aliases, found.metrics, found.tags["reason"]) == (("champion",), {"mae_pp": 0.5}, "a test")


def test_all_models_are_listed_over_any_number_of_pages(client: Any, name: str) -> None:
    register_version(client, name)
    assert name in registered_models(client)


class Away:
    """A client of an MLflow that does not answer."""

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any, **named: Any) -> None:
            raise MlflowException("API request failed with exception")

        return call


def test_an_mlflow_that_is_away_is_worth_another_try(name: str) -> None:
    away: Any = Away()
    for call in (
        lambda: aliases_of(away, name),
        lambda: set_alias(away, name, "champion", 1),
        lambda: drop_alias(away, name, "champion"),
        lambda: tag_version(away, name, 1, a="b"),
        lambda: version_exists(away, name, 1),
        lambda: registered_models(away),
    ):
        with pytest.raises(RegistryUnavailable):
            call()

"""Computes ahead what will probably be asked, and puts it where the service looks first.

- hook templates: the kinds of creative with the most impressions, each for every persona and every
  account of their niche
- frequent patterns of creative DNA
- past winners: the creatives clicked most often, as new ads of their account

A rate does not hang on the budget, the clicks to expect do: they are the rate times what the budget buys, so
every common budget is served by one entry.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import islice
from typing import Any

from redis import Redis
from sqlalchemy import Engine

from include.config import Thresholds
from include.db import predictions
from include.serving.predictions.filling import KnownPast, read_past
from include.serving.predictions.precomputed import features_hash, key_of, store_rates
from ml.ctr.bundle_runtime import Bundle

_ROWS_AT_ONCE = 2000


@dataclass(frozen=True)
class VersionToWarm:
    """A version that answers, or may soon."""

    model_name: str
    number: int
    bundle: Bundle


@dataclass(frozen=True)
class Warmed:
    """What was computed ahead.

    Attributes:
        rows: different rows.
        written: entries in the store, one a row and version.
        versions: which, for people.
    """

    rows: int
    written: int
    versions: tuple[str, ...]


def compute_ahead(
    engine: Engine, client: Redis, versions: Sequence[VersionToWarm], day: date, settings: Thresholds
) -> Warmed:
    """Write the rates of every probable row for every version; writing again renews their time to live.

    Args:
        engine: the `nightshift` database.
        client: of Redis.
        versions: those of the models for all accounts.
        day: whose night this is.
        settings: all thresholds.

    Raises:
        redis.exceptions.RedisError: Redis does not answer.
    """
    rows = list(probable_rows(engine, day, settings))
    written = 0
    for version in versions:
        written += store_rates(client, _rates(version, rows), settings.predictions)
    return Warmed(len(rows), written, tuple(f"{each.model_name} v{each.number}" for each in versions))


def probable_rows(engine: Engine, day: date, settings: Thresholds) -> Iterator[dict[str, Any]]:
    """Rows as the service will see them, each once."""
    limits = settings.predictions
    since = day - timedelta(days=limits.history_days)
    past = read_past(engine)
    seen: set[tuple[tuple[str, Any], ...]] = set()
    for row in _wanted(engine, past, since, settings):
        identity = tuple(sorted((name, value) for name, value in row.items() if value is not None))
        if identity not in seen:
            seen.add(identity)
            yield row


def _wanted(engine: Engine, past: KnownPast, since: date, settings: Thresholds) -> Iterator[dict[str, Any]]:
    limits = settings.predictions
    personas = settings.llm.warm.personas[: limits.personas]
    of_niche: dict[str, list[str]] = {}
    for account_id, known in past.accounts.items():
        of_niche.setdefault(str(known.get("niche", "")), []).append(account_id)
    for template in predictions.hook_templates(engine, since, limits.hook_templates):
        for persona in personas:
            yield from _for_accounts({**template, "persona": persona}, past, of_niche)
    for pattern in predictions.frequent_patterns(engine, since, limits.patterns):
        yield from _for_accounts(pattern, past, of_niche)
    for winner in predictions.past_winners(engine, since, limits.winners, limits.winner_impressions):
        yield past.filled(winner, winner["account_id"], None, None)


def _for_accounts(
    row: Mapping[str, Any], past: KnownPast, of_niche: Mapping[str, Sequence[str]]
) -> Iterator[dict[str, Any]]:
    """The row for every account of its niche."""
    for account_id in of_niche.get(str(row.get("niche") or ""), ()):
        yield past.filled(row, account_id, None, None)


def _rates(version: VersionToWarm, rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, float]]:
    rest = iter(rows)
    while part := list(islice(rest, _ROWS_AT_ONCE)):
        rates = version.bundle.predict(part)
        for row, rate in zip(part, rates, strict=True):
            hashed = features_hash(version.bundle.columns, row)
            yield key_of(version.model_name, version.number, hashed), float(rate)

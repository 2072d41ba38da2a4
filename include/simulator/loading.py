"""Writes a simulated world to the database, as if the nights so far had fetched it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from sqlalchemy import Engine

from include.db import ads
from include.db.merging import Merged
from include.errors import PermanentError
from include.meta_ads.rows import performance_row
from include.simulator.config import WorldConfig
from include.simulator.sales import simulate_sales
from include.simulator.stored import stored_config
from include.simulator.world import SimulatedWorld


class AnotherWorldStored(PermanentError):
    """The database holds a world that this one does not continue."""


@dataclass(frozen=True)
class Loaded:
    """What a load wrote."""

    config: WorldConfig
    accounts: int
    ads: int
    performance: Merged


def load_world(engine: Engine, config: WorldConfig, *, replace_stored: bool = False) -> Loaded:
    """Write the world of `config` to the database, or continue the one that is there to `config.until`.

    A world with the same seed and size is continued: it keeps its first day, takes the new drift, and is
    written up to the later of both last days. Writing the same world twice changes nothing: only the days
    that were not loaded yet are written, because the nights since may know of conversions that came later.
    A new drift writes all days.

    Args:
        engine: the `nightshift` database.
        config: the world.
        replace_stored: remove another world, with its accounts, first.

    Raises:
        AnotherWorldStored: the database holds a world of another seed or size, or one that begins later.
    """
    stored = None if replace_stored else stored_config(engine)
    if stored is not None:
        config = _continued(stored, config)
    world = SimulatedWorld.generate(config)
    since = config.start
    if stored is not None and stored.drift == config.drift:
        since = stored.until + timedelta(days=1)
    as_of = max(config.until, (stored and ads.latest_day(engine)) or config.until)
    with engine.begin() as connection:
        if replace_stored:
            ads.delete_accounts(connection, "sandbox")
        ads.upsert_accounts(connection, account_rows(world))
        ads.upsert_campaigns(connection, _records(world.campaigns, CAMPAIGN_COLUMNS))
        ads.upsert_creatives(connection, creative_rows(world))
        ads.upsert_ads(connection, ad_rows(world))
        performance = ads.upsert_performance(connection, _performance(world, since, as_of))
        ads.upsert_conversions(connection, conversion_rows(world))
        ads.record_simulated_world(connection, config.world_id, config.to_json(), config.until)
    return Loaded(config, len(world.accounts), len(world.ads), performance)


CAMPAIGN_COLUMNS = ["account_id", "campaign_id", "name", "status", "daily_budget"]


def account_rows(world: SimulatedWorld) -> Iterator[dict[str, Any]]:
    """Rows for `ads.account`."""
    for row in _records(world.accounts, ["account_id", "name", "niche", "currency"]):
        yield {**row, "source": "sandbox"}


def creative_rows(world: SimulatedWorld) -> Iterator[dict[str, Any]]:
    """Rows for `ads.creative`; pictures have no duration."""
    for row in _records(world.creatives, list(world.creatives.columns)):
        yield {**row, "duration_s": row["duration_s"] if row["duration_s"] == row["duration_s"] else None}


def ad_rows(world: SimulatedWorld) -> Iterator[dict[str, Any]]:
    """Rows for `ads.ad`."""
    for row in _records(
        world.ads, ["account_id", "ad_id", "campaign_id", "creative_id", "name", "launched_on"]
    ):
        yield {**row, "launched_on": row["launched_on"].date()}


def conversion_rows(world: SimulatedWorld) -> Iterator[dict[str, Any]]:
    """Rows for `ads.unified_conversion`, those that had arrived by the end of the world's last day."""
    end = datetime.combine(world.config.until, time.max, UTC)
    known = simulate_sales(world).conversions
    known = known[known["converted_at"] <= end]
    for row in _records(known, list(known.columns)):
        yield {**row, "converted_at": row["converted_at"].to_pydatetime()}


def _continued(stored: WorldConfig, wanted: WorldConfig) -> WorldConfig:
    if stored.world_id != wanted.world_id:
        raise AnotherWorldStored(
            f"the database holds world '{stored.world_id}', not '{wanted.world_id}': load that one on, or "
            "give --replace to remove it and its accounts"
        )
    if wanted.start < stored.start:
        raise AnotherWorldStored(
            f"the stored world begins on {stored.start}, the wanted one on {wanted.start}: a world only "
            "grows forward; give fewer --days, or --replace to remove it"
        )
    return replace(stored, drift=wanted.drift).reaching(max(stored.until, wanted.until))


def _performance(world: SimulatedWorld, since: date, as_of: date) -> Iterator[dict[str, Any]]:
    for account_id in world.accounts["account_id"]:
        for insight in world.insights(account_id, since, world.config.until, as_of):
            yield performance_row(account_id, insight)


def _records(frame: Any, columns: list[str]) -> Iterator[dict[str, Any]]:
    for row in zip(*(frame[column] for column in columns), strict=True):
        yield dict(zip(columns, row, strict=True))

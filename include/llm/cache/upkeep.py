"""What a nightly DAG does for the semantic cache: expiry, eviction, sums of old lookups; and invalidation.

Nothing here has to run for the cache to be right: an expired entry answers nobody, also before it is removed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine

from include.config.cache import CacheThresholds
from include.db import llm_cache_upkeep as sql
from include.db.pages import in_pages
from include.llm.errors import RequestInvalid

MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Upkept:
    """What was removed.

    Attributes:
        expired, evicted: entries whose time was over, and those that saved too little for their size.
        lookups: that are now only in the daily sums.
        observations: beyond those that are learnt from.
    """

    expired: int
    evicted: int
    lookups: int
    observations: int

    @property
    def told(self) -> str:
        """One sentence for people."""
        return (
            f"{self.expired} answers had expired, {self.evicted} saved too little for their size; "
            f"{self.lookups} lookups were summed up and {self.observations} old observations removed"
        )


def tend(engine: Engine, settings: CacheThresholds, *, dry_run: bool = False) -> Upkept:
    """All of it, in the order in which it makes room.

    Args:
        dry_run: count what would be removed, each by itself.
    """
    return Upkept(
        expired=remove_expired(engine, settings, dry_run=dry_run),
        evicted=evict(engine, settings, dry_run=dry_run),
        lookups=sum_up_lookups(engine, settings, dry_run=dry_run),
        observations=trim_observations(engine, settings, dry_run=dry_run),
    )


def remove_expired(engine: Engine, settings: CacheThresholds, *, dry_run: bool = False) -> int:
    """Remove entries whose time is over; returns how many."""
    return in_pages(engine, lambda conn: sql.remove_expired(conn, settings.page_rows), dry_run=dry_run)


def evict(engine: Engine, settings: CacheThresholds, *, dry_run: bool = False) -> int:
    """Remove what saves least for its size where a namespace or all of them are too large; returns how many.

    To be run after `remove_expired`.
    """
    with engine.connect() as conn:
        doomed = sql.least_worth(
            conn, settings.namespace_megabytes * MEGABYTE, settings.total_megabytes * MEGABYTE
        )
    if dry_run:
        return len(doomed)
    removed = 0
    for first in range(0, len(doomed), settings.page_rows):
        with engine.begin() as conn:
            removed += sql.remove(conn, doomed[first : first + settings.page_rows])
    return removed


def sum_up_lookups(
    engine: Engine, settings: CacheThresholds, now: datetime | None = None, *, dry_run: bool = False
) -> int:
    """Keep only daily sums of lookups older than `keep_lookup_days`; returns how many there were."""
    before = ((now or datetime.now(UTC)) - timedelta(days=settings.keep_lookup_days)).date()
    return in_pages(engine, lambda conn: sql.roll_up(conn, before), dry_run=dry_run)


def trim_observations(engine: Engine, settings: CacheThresholds, *, dry_run: bool = False) -> int:
    """Keep the newest observations of each namespace; returns how many others there were."""
    return in_pages(
        engine,
        lambda conn: sql.trim_observations(conn, settings.keep_observations, settings.page_rows),
        dry_run=dry_run,
    )


def invalidate(
    engine: Engine,
    settings: CacheThresholds,
    *,
    tags: Sequence[str] | None = None,
    tenant: str | None = None,
    task: str | None = None,
    prompt_version: str | None = None,
    model: str | None = None,
    embedder: str | None = None,
) -> int:
    """Remove every entry that has any of the tags and lies in the namespaces so named; returns how many.

    Raises:
        RequestInvalid: nothing was named, which would remove everything.
    """
    names = {
        "tenant": tenant,
        "task": task,
        "prompt_version": prompt_version,
        "model": model,
        "embedder": embedder,
    }
    if not tags and not any(names.values()):
        raise RequestInvalid("name tags or a part of a namespace to invalidate; everything is too much")
    return in_pages(
        engine, lambda conn: sql.forget(conn, tags=tags or None, names=names, most=settings.page_rows)
    )

"""How long the night's records are kept: requests and answers, batches, damaged lines, reports, the bill."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import partial
from typing import Any

from sqlalchemy import Engine

from include.config import Thresholds
from include.db.llm_keeping import KINDS, remove_old
from include.db.pages import in_pages
from include.llm.cache.promise.relearn import Relearnt, relearn_all
from include.llm.cache.upkeep import Upkept, tend


@dataclass(frozen=True)
class Kept:
    """What housekeeping did.

    Attributes:
        removed: records by kind.
        cache: what was removed from the cache.
        relearnt: what namespaces learnt anew.
        dry_run: nothing of it was really done.
    """

    removed: Mapping[str, int]
    cache: Upkept
    relearnt: tuple[Relearnt, ...] = field(default=())
    dry_run: bool = False

    @property
    def summary(self) -> str:
        """One sentence for people."""
        counted = {kind.replace("_", " "): count for kind, count in self.removed.items() if count}
        gone = ", ".join(f"{count:,} {kind}" for kind, count in counted.items())
        parts = [f"removed {gone}" if gone else "nothing was old enough to remove", self.cache.told]
        parts += [each.told for each in self.relearnt]
        return ("would have: " if self.dry_run else "") + "; ".join(parts)

    def as_counts(self) -> dict[str, Any]:
        """What the DAG passes on: numbers, and the sentence."""
        return {
            **self.removed,
            "expired": self.cache.expired,
            "evicted": self.cache.evicted,
            "relearnt": len(self.relearnt),
            "dry_run": self.dry_run,
            "summary": self.summary,
        }


def keep_house(
    engine: Engine, settings: Thresholds, day: date | None = None, *, dry_run: bool = False
) -> Kept:
    """Remove what is older than `llm.keep` says, tend the cache, and learn its policies anew.

    Safe to repeat, and safe beside a night: nothing that is still to be answered is touched.

    Args:
        day: age is counted back from here, by default and at the latest from today.
        dry_run: count what would be removed, and learn nothing.
    """
    keep = settings.llm.keep
    today = datetime.now(UTC).date()
    earlier = max(0, (today - (day or today)).days)
    removed = {
        kind: in_pages(
            engine,
            partial(remove_old, kind=kind, days=getattr(keep, kind) + earlier, most=keep.page_rows),
            dry_run=dry_run,
        )
        for kind in KINDS
    }
    cache = tend(engine, settings.llm.cache, dry_run=dry_run)
    relearnt = () if dry_run else tuple(relearn_all(engine, settings.llm.cache))
    return Kept(removed, cache, relearnt, dry_run)

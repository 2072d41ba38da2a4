"""How a stream of objects is read through: from where, what comes next, and where a stopped walk goes on.

A walk over changes pages by object id and filters by time. Paging by time would lose objects: one edit of a
pipeline stamps thousands of deals with the same time. A cursor is the newest change HubSpot told when the
walk began, by HubSpot's own clock; the next walk begins `lag` before it, because the search index shows a
change only some time after it happened.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from include.crm import values
from include.crm.client import MODIFIED, HubSpotClient, Object

Mode = Literal["incremental", "full", "reconcile"]
MODES: tuple[Mode, ...] = ("incremental", "full", "reconcile")


@dataclass(frozen=True)
class Walk:
    """A walk under way.

    Attributes:
        mode: what was asked for.
        since: changes from then on; None for all objects.
        newest: the newest change when the walk began: where the cursor goes when it ends.
        position: what was read last; None at the beginning.
        moves_cursor: False for a walk that begins after the cursor and would leave a gap.
        passes_known: deals that are stored as of this very change are not read again.
    """

    mode: Mode
    since: datetime | None = None
    newest: datetime | None = None
    position: str | None = None
    moves_cursor: bool = True
    passes_known: bool = False

    def at(self, position: str | None) -> Walk:
        """The same walk, further on."""
        return replace(self, position=position)

    def to_json(self) -> dict[str, Any]:
        """Plain values; `from_json` reads them back."""
        return {
            "mode": self.mode,
            "since": self.since and self.since.isoformat(),
            "newest": self.newest and self.newest.isoformat(),
            "position": self.position,
            "moves_cursor": self.moves_cursor,
            "passes_known": self.passes_known,
        }

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Walk:
        """Read what `to_json` wrote."""
        since, newest = (told[name] and datetime.fromisoformat(told[name]) for name in ("since", "newest"))
        flags = {name: told[name] for name in ("moves_cursor", "passes_known")}
        return cls(told["mode"], since, newest, told["position"], **flags)


def begin(mode: Mode, cursor_at: datetime | None, since: datetime | None, lag_minutes: int) -> Walk:
    """The walk that a mode asks for.

    Args:
        cursor_at: all changes up to then are stored; None where nothing is, which makes any walk a full one.
        since: changes from then on are wanted, whatever is stored already.
    """
    if mode == "reconcile" and cursor_at is not None:
        return Walk(mode)
    if mode == "full" or cursor_at is None:
        # Changes of a part do not make a whole: the cursor stays unset and the next night reads all.
        return (
            Walk("full") if since is None or mode != "incremental" else Walk(mode, since, moves_cursor=False)
        )
    overlapping = cursor_at - timedelta(minutes=lag_minutes)
    if since is None:
        return Walk(mode, overlapping, passes_known=True)
    return Walk(mode, since, moves_cursor=since <= overlapping)


def newest_change(
    client: HubSpotClient,
    kind: str,
    walk: Walk,
    limit: int,
    others: Sequence[Mapping[str, Any]] = (),
    properties: Sequence[str] = (),
) -> tuple[Walk, list[Object] | None]:
    """Ask for the newest change; few changes come with it, and need no further page.

    Args:
        limit: how many changes may come with it.
        others: further filters.
        properties: what is told of each, besides when it changed.

    Returns:
        The walk with `newest`, and its objects where they are all there already.
    """
    total, found = client.search(
        kind,
        _filters(kind, walk, others),
        properties=[*dict.fromkeys([MODIFIED[kind], *properties])],
        newest_first=True,
        limit=limit,
    )
    changes = [values.moment(each["properties"].get(MODIFIED[kind])) for each in found]
    newest = max((change for change in changes if change is not None), default=None)
    return replace(walk, newest=newest), found if total <= len(found) else None


def next_page(
    client: HubSpotClient,
    kind: str,
    walk: Walk,
    properties: Sequence[str],
    page: int,
    others: Sequence[Mapping[str, Any]] = (),
) -> tuple[list[Object], str | None]:
    """The objects after the walk's position, in the order of their ids, and where the next begin."""
    filters = _filters(kind, walk, others)
    if walk.position:
        filters.append({"propertyName": "hs_object_id", "operator": "GT", "value": walk.position})
    _, found = client.search(kind, filters, properties=properties, limit=page)
    return found, str(found[-1]["id"]) if len(found) == page else None


def _filters(kind: str, walk: Walk, others: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    filters = list(others)
    if walk.since is not None:
        since_ms = int(walk.since.timestamp() * 1000)
        filters.append({"propertyName": MODIFIED[kind], "operator": "GTE", "value": str(since_ms)})
    return filters

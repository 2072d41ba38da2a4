"""The simulated world the ads feed serves: the one stored in Nightshift's database, when there is one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from include.config.connections import ConnectionMissing, connection

if TYPE_CHECKING:
    from include.simulator import SimulatedWorld

WorldProvider = Callable[[], "SimulatedWorld | None"]


def world_of_database() -> WorldProvider:
    """A provider that follows the connection `nightshift_db`, looked up anew at each call.

    Without the connection, and while the database is down or empty, there is no world.
    """
    lock = threading.Lock()
    kept: tuple[str | None, WorldProvider] | None = None

    def current() -> SimulatedWorld | None:
        nonlocal kept
        address = _address()
        with lock:
            if kept is None or kept[0] != address:
                kept = (address, _source(address))
            source = kept[1]
        return source()

    return current


def _address() -> str | None:
    try:
        return connection("nightshift_db").url
    except ConnectionMissing:
        return None


def _source(address: str | None) -> WorldProvider:
    from include.db import make_engine
    from include.simulator.stored import world_source

    return world_source(None if address is None else make_engine(address))

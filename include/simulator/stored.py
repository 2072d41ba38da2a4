"""The simulated world a database holds: written by the loader, read again by the sandbox's ad platform.

Only its configuration is stored. Whoever asks for the world generates it anew, up to any day.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from datetime import date
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError, ProgrammingError

from include.db import ads
from include.simulator.config import WorldConfig, WorldImpossible
from include.simulator.world import SimulatedWorld

ENVIRONMENT = "NIGHTSHIFT_WORLD"


def stored_config(engine: Engine) -> WorldConfig | None:
    """Configuration of the world in the database; `None` where it holds none."""
    stored = ads.simulated_world(engine)
    if stored is None:
        return None
    stored.pop("loaded_until")
    return WorldConfig.from_json(stored)


def stored_world(engine: Engine | None, until: date | None = None) -> SimulatedWorld | None:
    """The world the environment or the database names, generated.

    `NIGHTSHIFT_WORLD` (the JSON of a `WorldConfig`) comes first.

    Args:
        engine: the `nightshift` database; `None` to ask the environment alone.
        until: the day the world is to reach at least; `None` for the day it was loaded to.

    Returns:
        `None` where neither names a world.

    Raises:
        WorldImpossible: what is stored describes no world.
    """
    config = _configured(engine)
    if config is None:
        return None
    return SimulatedWorld.generate(config).reaching(until or config.until)


def world_source(engine: Engine | None) -> Callable[[], SimulatedWorld | None]:
    """A function that gives the world of this moment, generated once per configuration.

    The sandbox starts before any world is loaded, so each call looks which one is stored by then. A database
    that is down or not migrated yet holds no world.
    """
    lock = threading.Lock()
    kept: dict[WorldConfig, SimulatedWorld] = {}

    def current() -> SimulatedWorld | None:
        try:
            config = _configured(engine)
        except (OperationalError, ProgrammingError):
            return None
        if config is None:
            return None
        with lock:
            if config not in kept:
                world = SimulatedWorld.generate(config)
                kept.clear()
                kept[config] = world
            return kept[config]

    return current


def _configured(engine: Engine | None) -> WorldConfig | None:
    if given := os.environ.get(ENVIRONMENT):
        try:
            values: Any = json.loads(given)
        except ValueError as error:
            raise WorldImpossible(f"{ENVIRONMENT} is not JSON: {error}") from error
        return WorldConfig.from_json(values)
    return stored_config(engine) if engine is not None else None

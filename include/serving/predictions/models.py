"""Which versions answer now: polled from MLflow and the database, kept on disk, swapped in one assignment.

A request works with the one `Served` it took at its beginning, so a swap drops nothing and mixes nothing.
What was served last lies on disk: the service starts and goes on without MLflow and without a database, and a
version whose bundle cannot be fetched never replaces one that answers.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine

from include.config import Thresholds
from include.db import experiments, predictions
from include.serving.predictions.filling import NOTHING_KNOWN, KnownPast, read_past
from ml.ctr.bundle_runtime import FILE, Bundle
from ml.features.mined_inputs import PREFIX as MINED
from ml.features.pipeline_columns import PREFIX as PIPELINE

if TYPE_CHECKING:
    from include.db.experiments import AbTest

FAMILY = "ctr"
CHAMPION, CHALLENGER = "champion", "challenger"

# Versions of a model that stay loaded, so that a roll-back has nothing to fetch.
_KEPT = 3

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Version:
    """One version, ready to predict."""

    number: int
    bundle: Bundle


@dataclass(frozen=True)
class Experiment:
    """An experiment that shares the traffic."""

    id: int
    unit: str
    salt: str
    challenger_share: float


@dataclass(frozen=True)
class Served:
    """What answers for one model; never changed, only replaced.

    Attributes:
        champion: answers, unless an experiment gives a unit to the challenger.
        challenger, experiment: both or none.
    """

    model_name: str
    champion: Version
    challenger: Version | None = None
    experiment: Experiment | None = None


@dataclass
class ServedModels:
    """Keeps `current` true in a thread of its own.

    Args:
        tracking_uri: MLflow's address.
        engine: the `nightshift` database.
        settings: all thresholds.
        folder: where what is served lies for the next start.
    """

    tracking_uri: str
    engine: Engine
    settings: Thresholds
    folder: Path
    current: Mapping[str, Served] = field(default_factory=dict)
    costs: Mapping[str, float] = field(default_factory=dict)
    past: KnownPast = NOTHING_KNOWN
    # Why the last look failed, for /readyz and people; empty when it did not.
    trouble: str = ""

    def __post_init__(self) -> None:
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._loaded: dict[tuple[str, int], Version] = {}
        self._tests: dict[str, AbTest] = {}
        self._past_until = 0.0
        self._past_columns: frozenset[str] = frozenset()
        # Whether the past was looked for at all: answers before that are of rows with gaps.
        self.past_sought = False

    def start(self) -> None:
        """Serve what lies on disk at once, then look every few seconds."""
        self._from_disk()
        self._thread = threading.Thread(target=self._watch, name="served-models", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop looking; what is served stays."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(10)

    def look(self) -> None:
        """Look once: fetch what is new, swap what changed. Never raises."""
        looks = [("the database", self._see_tests), ("MLflow", self._see_aliases)]
        # It may take seconds, and a promotion should not wait for it; only the first answers do.
        looks.insert(2 if self.past_sought else 0, ("the database", self._see_past))
        troubles = [told for whom, look in looks if (told := self._attempt(whom, look))]
        self.past_sought = True
        trouble = "; ".join(dict.fromkeys(troubles))
        if trouble and trouble != self.trouble:
            log.warning("what is served stays as it is: %s", trouble)
        self.trouble = trouble

    def _watch(self) -> None:
        while not self._stopped.is_set():
            self.look()
            self._stopped.wait(self.settings.predictions.poll_seconds)

    def _attempt(self, whom: str, look: Callable[[], None]) -> str:
        try:
            look()
        except Exception as error:  # whatever is away, the service goes on with what it has
            return f"{whom} did not answer ({type(error).__name__})"
        return ""

    def _see_tests(self) -> None:
        self._tests = {test.model_name: test for test in experiments.running_experiments(self.engine)}

    def _see_past(self) -> None:
        columns = self._known_columns()
        # A version that looks at more than those before it is not kept waiting for what it looks at.
        if time.monotonic() < self._past_until and columns <= self._past_columns:
            return
        limits = self.settings.predictions
        # Set first: a database that cannot answer this in time is not asked again at once.
        self._past_until, self._past_columns = time.monotonic() + limits.costs_minutes * 60, columns
        since = (datetime.now(UTC) - timedelta(days=limits.costs_days)).date()
        self.costs = predictions.costs_per_mille(self.engine, since)
        self.past = read_past(self.engine, columns)

    def _known_columns(self) -> frozenset[str]:
        """Columns of mined features and of deals that the versions served look at."""
        return frozenset(
            column
            for served in self.current.values()
            for version in (served.champion, served.challenger)
            if version is not None
            for column in version.bundle.columns
            if column.startswith((MINED, PIPELINE))
        )

    def _see_aliases(self) -> None:
        held = self._aliases()
        served: dict[str, Served] = {}
        for name, aliases in held.items():
            try:
                champion = self._version(name, aliases[CHAMPION]) if CHAMPION in aliases else None
                if champion is not None:
                    served[name] = self._with_experiment(name, champion)
                    continue
            except Exception as error:  # one model that cannot be read must not hold up the others
                log.warning("%s stays as it is (%s)", name, type(error).__name__)
            # No champion, or one that cannot be fetched: who answered goes on answering.
            before = self.current.get(name)
            if before is not None:
                served[name] = Served(name, before.champion)
        # A model that MLflow does not know any more is no reason to stop answering.
        for name, before in self.current.items():
            served.setdefault(name, before)
        if served != self.current:
            for name, now in served.items():
                if now != self.current.get(name):
                    log.info("%s is answered by v%d", name, now.champion.number)
            self.current = served
            self._to_disk()
            self._forget()

    def _with_experiment(self, name: str, champion: Version) -> Served:
        test = self._tests.get(name)
        # After a promotion the experiment is about a champion of the past: nobody is given to it any more.
        if test is None or test.champion_version != champion.number:
            return Served(name, champion)
        challenger = self._version(name, test.challenger_version)
        if challenger is None:
            return Served(name, champion)
        share = float(test.settings["challenger_share"])
        return Served(name, champion, challenger, Experiment(test.id, test.unit, test.salt, share))

    def _aliases(self) -> dict[str, dict[str, int]]:
        from ml.registry import connect
        from ml.registry.errors import registry_errors

        if not hasattr(self, "_client"):
            self._client = connect(self.tracking_uri)
        models: list[Any] = []
        token: str | None = None
        with registry_errors("list the registered models"):
            while token is None or token:
                page = self._client.search_registered_models(
                    filter_string=f"name LIKE '{FAMILY}%'", max_results=1000, page_token=token
                )
                models += page
                token = page.token or ""
        return {
            model.name: {alias: int(number) for alias, number in model.aliases.items()}
            for model in models
            if model.name == FAMILY or model.name.startswith(f"{FAMILY}_")
        }

    def _version(self, name: str, number: int) -> Version | None:
        """A version from memory, disk or MLflow; None where it has no bundle that can be read."""
        known = self._loaded.get((name, number))
        if known is not None:
            return known
        from ml.registry import RegistryRefused, fetch_bundle

        file = self._file(name, number)
        try:
            if not file.exists():
                content = fetch_bundle(self.tracking_uri, f"models:/{name}/{number}")
                file.parent.mkdir(parents=True, exist_ok=True)
                _write_whole(file, content)
            version = Version(number, Bundle(file.read_bytes()))
        except RegistryRefused as error:
            log.warning("%s v%d cannot be served: %s", name, number, error)
            return None
        except Exception:
            # A file that is no bundle must not be found again at the next look.
            file.unlink(missing_ok=True)
            raise
        self._loaded[name, number] = version
        return version

    def _file(self, name: str, number: int) -> Path:
        return self.folder / name / str(number) / FILE

    def _to_disk(self) -> None:
        told = {name: served.champion.number for name, served in self.current.items()}
        self.folder.mkdir(parents=True, exist_ok=True)
        _write_whole(self.folder / "served.json", json.dumps(told).encode())

    def _from_disk(self) -> None:
        try:
            told = json.loads((self.folder / "served.json").read_text())
        except FileNotFoundError:
            return
        except ValueError:
            log.warning("served.json cannot be read: the service waits for MLflow")
            return
        found = {}
        for name, number in told.items():
            try:
                bundle = Bundle(self._file(name, number).read_bytes())
            except Exception as error:  # it costs its model the quick start, no more
                log.warning(
                    "%s v%d of the last start cannot be read (%s)", name, number, type(error).__name__
                )
                self._file(name, number).unlink(missing_ok=True)
                continue
            found[name] = Served(name, Version(number, bundle))
        self._loaded |= {(name, served.champion.number): served.champion for name, served in found.items()}
        self.current = found

    def _forget(self) -> None:
        """Drop versions that nothing points at, from memory and disk; the newest stay for a roll-back."""
        used = {
            (name, version.number)
            for name, served in self.current.items()
            for version in (served.champion, served.challenger)
            if version is not None
        }
        for name, number in sorted(set(self._loaded) - used):
            others = [other for model, other in self._loaded if model == name and other != number]
            if len(others) < _KEPT:
                continue
            del self._loaded[name, number]
            self._file(name, number).unlink(missing_ok=True)


def _write_whole(file: Path, content: bytes) -> None:
    """Write so that nobody ever reads half of it."""
    part = file.with_suffix(f".{os.getpid()}.part")
    part.write_bytes(content)
    part.replace(file)

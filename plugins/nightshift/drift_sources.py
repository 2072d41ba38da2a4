"""Where the rows of a watched model come from: ads of accounts, or a table that the configuration names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TYPE_CHECKING, Protocol

from nightshift.train_model import read_rows

if TYPE_CHECKING:
    import numpy as np
    from pandas import DataFrame
    from sqlalchemy import Engine

    from include.config.drift import TableModel
    from include.db.watched_tables import WatchedTable
    from ml.ctr import CtrModel
    from ml.drift.profile import Loss
    from ml.drift.windows import WatchedColumn, Window
    from ml.features import FeatureFrame


# What the columns that rows hang together by are read as, whatever the table calls them.
_CLUSTER, _NICHE = "watched_cluster", "watched_niche"


class Source(Protocol):
    """Rows of one model and scope."""

    # What the model is judged by; the version's metric of that; whether a training can be asked for.
    loss: Loss
    judged_metric: str | None
    can_retrain: bool

    @property
    def identity(self) -> str:
        """What makes the rows and columns what they are, apart from their days."""

    def pieces(self, since: date, until: date) -> Iterator[Window]:
        """All rows of a period, one piece after the other."""

    def sample(self, since: date, until: date, rows: int) -> Window:
        """At most so many rows of a period, evenly drawn."""

    def columns(self, window: Window) -> tuple[WatchedColumn, ...]:
        """What to watch."""

    def repeated(self, since: date, until: date) -> int:
        """How many rows of a period are there twice and count once."""


@dataclass
class AdsSource:
    """What the CTR model is told about ads, with its own answers.

    Attributes:
        model: the champion; None where its files cannot be read, then there are no answers.
    """

    engine: Engine
    scope: str
    model: CtrModel | None
    loss: Loss = "log_loss"
    judged_metric: str | None = "normalized_entropy"
    can_retrain: bool = True
    _kept: dict[tuple[date, date], Window] = field(default_factory=dict)
    _read: dict[tuple[date, date], FeatureFrame] = field(default_factory=dict)

    @property
    def identity(self) -> str:
        """The feature set, and whether there are answers."""
        from ml.features import FEATURE_SET

        return f"{FEATURE_SET}, {'with' if self.model else 'without'} answers"

    def pieces(self, since: date, until: date) -> Iterator[Window]:
        """One piece: what ads did earlier is part of what the model is told, so they are read together."""
        yield self._window(since, until)

    def sample(self, since: date, until: date, rows: int) -> Window:
        """All of them: they fit, and are read already."""
        return self._window(since, until)

    def repeated(self, since: date, until: date) -> int:
        """None: the table of ads' days has a key."""
        return 0

    def columns(self, window: Window) -> tuple[WatchedColumn, ...]:
        """See `ml.drift.ads.ad_columns`."""
        from ml.drift.ads import ad_columns

        return ad_columns(window.rows, self.model.importances() if self.model else {})

    def campaigns(self, since: date, until: date) -> tuple[Window, Window] | None:
        """The newest campaign and those before it, where rows have no dates; else None."""
        from ml.drift.ads import ad_window, campaign_windows

        features = self._features(since, until)
        if features.dates is not None:
            return None
        window = ad_window(features, self._predicted(features), "all", _niches(features))
        return campaign_windows(window, features.campaigns)

    def _window(self, since: date, until: date) -> Window:
        from ml.drift.ads import ad_window

        if (since, until) not in self._kept:
            features = self._features(since, until)
            label = f"{since} to {until}"
            self._kept[since, until] = ad_window(
                features, self._predicted(features), label, _niches(features)
            )
        return self._kept[since, until]

    def _features(self, since: date, until: date) -> FeatureFrame:
        from ml.features import build_ad_features

        if (since, until) not in self._read:
            rows = read_rows(self.engine, self.scope, since, until)
            # A column that is the same all week is not missing.
            self._read[since, until] = build_ad_features(rows, since, constant_too=True)
        return self._read[since, until]

    def _predicted(self, features: FeatureFrame) -> np.ndarray | None:
        return self.model.predict(features.X) if self.model else None


@dataclass
class TableSource:
    """A table with inputs, answers and outcomes."""

    engine: Engine
    scope: str
    spec: TableModel
    piece_rows: int
    can_retrain: bool = False

    @property
    def identity(self) -> str:
        """The whole configuration."""
        return self.spec.model_dump_json()

    @property
    def loss(self) -> Loss:
        """As configured."""
        return self.spec.loss

    @property
    def judged_metric(self) -> str | None:
        """As configured."""
        return self.spec.judged_metric

    def pieces(self, since: date, until: date) -> Iterator[Window]:
        """As many as it takes."""
        from include.db.watched_tables import read_watched

        for rows in read_watched(
            self.engine,
            self._table(),
            since=since,
            until=until,
            scope=self.scope,
            piece_rows=self.piece_rows,
        ):
            yield self._window(rows, f"{since} to {until}")

    def repeated(self, since: date, until: date) -> int:
        """How many rows of a period are there twice and count once."""
        from include.db.watched_tables import repeated_rows

        return repeated_rows(self.engine, self._table(), since=since, until=until, scope=self.scope)

    def sample(self, since: date, until: date, rows: int) -> Window:
        """Drawn in the database."""
        from include.db.watched_tables import sample_watched

        drawn = sample_watched(
            self.engine, self._table(), since=since, until=until, scope=self.scope, rows=rows
        )
        return self._window(drawn, f"{since} to {until}")

    def columns(self, window: Window | None = None) -> tuple[WatchedColumn, ...]:
        """The inputs, the prediction and the outcome."""
        from ml.drift.windows import WatchedColumn

        inputs = [WatchedColumn(name) for name in self.spec.inputs]
        answers = [WatchedColumn(self.spec.prediction, "prediction")] if self.spec.prediction else []
        outcomes = [WatchedColumn(self.spec.outcome, "outcome")] if self.spec.outcome else []
        return (*inputs, *answers, *outcomes)

    def _table(self) -> WatchedTable:
        from include.db.watched_tables import WatchedTable

        spec = self.spec
        wanted = (*spec.inputs, spec.prediction, spec.outcome, spec.exposure)
        return WatchedTable(
            table=spec.table,
            day=spec.day,
            columns=[name for name in wanted if name],
            names={_CLUSTER: spec.cluster, **({_NICHE: spec.niche} if spec.niche else {})},
            scope=spec.scope,
            key=spec.key,
        )

    def _window(self, rows: DataFrame, label: str) -> Window:
        import numpy as np

        from include.db.watched_tables import DAY
        from ml.drift.plan import floats
        from ml.drift.windows import Window

        spec = self.spec

        def numbers(name: str | None) -> np.ndarray | None:
            return floats(rows[name]) if name else None

        return Window(
            label=label,
            # Nothing but what is watched: clusters may be people, and the reference keeps a sample of rows.
            rows=rows[[column.name for column in self.columns()]],
            clusters=rows[_CLUSTER].to_numpy(dtype=object),
            days=np.array(rows[DAY].to_list(), dtype="datetime64[D]"),
            predicted=numbers(spec.prediction),
            observed=numbers(spec.outcome),
            exposure=numbers(spec.exposure),
            niches=rows[_NICHE].to_numpy(dtype=object) if spec.niche else None,
        )


def complete_lags_since(source: AdsSource, since: date, until: date, least_days: int) -> date:
    """Start the reference where its lags are complete, if that leaves `least_days`.

    In an account's first weeks an ad's own past is short, and what is derived from it looks different.
    """
    from include.db.ads import account_totals
    from ml.features.ads import LAG_DAYS

    firsts = [each.first_day for each in account_totals(source.engine, source.scope) if each.first_day]
    if not firsts:
        return since
    complete = min(firsts) + timedelta(days=LAG_DAYS)
    return max(since, min(complete, until - timedelta(days=least_days - 1)))


def _niches(features: FeatureFrame) -> np.ndarray | None:
    return features.X["niche"].to_numpy(dtype=object) if "niche" in features.X else None

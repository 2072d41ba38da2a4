"""Mining features, measured: seconds and memory by size, against plain pandas, and from the database.

`make bench-features`. (a) 20 ads of each account on 90 days with 44 cells a day, mined 25 accounts at once;
(b) the same rows by a loop in pandas, compared value by value; (c) `raw_data` in PostgreSQL: taken apart by
the database, parsed in Python, and the whole way into `ads.mined_feature`. All data are simulated.

    python -m tests.benchmarks.bench_features --quick
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TypeVar

import numpy as np
import polars as pl
from sqlalchemy import Engine, text

from include.config import thresholds
from include.db import make_engine
from include.db.mined import accounts_to_mine, read_raw
from include.meta_ads.rows import PURCHASE_TYPES, purchase_type
from include.simulator import WorldConfig
from include.simulator.loading import load_world
from ml.features.mined import KEYS, mine
from ml.features.mined_cells import BREAKDOWNS, FIGURES
from nightshift.mine_features import mine_share, shares_to_mine
from tests.benchmarks.embedded import embedded_postgres
from tests.benchmarks.feature_cubes import CELLS_PER_DAY, share_of_accounts
from tests.benchmarks.features_in_pandas import mine_in_pandas
from tests.benchmarks.reporting import print_table, write_figures

DAYS, ADS = 90, 20
AT_ONCE = thresholds().mined.accounts_at_once
T = TypeVar("T")


@dataclass(frozen=True)
class Mined:
    """One size: accounts, seconds by the clock and of CPU (making the data not counted), resident memory."""

    accounts: int
    seconds: float
    cpu_s: float
    peak_mb: float

    @property
    def ad_days(self) -> int:
        """How many were mined."""
        return self.accounts * DAYS * ADS


def main() -> int:
    """Measure, print, and write the figures."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    arguments.add_argument("--quick", action="store_true", help="a tenth of the accounts")
    given = arguments.parse_args()
    sizes = (10, 30, 100) if given.quick else (100, 300, 1000)
    figures = {
        **_sizes(sizes),
        **_against_pandas(1),
        **_from_database(quick=given.quick),
    }
    print_table(("figure", "value"), [(name, f"{value:.4g}") for name, value in figures.items()])
    if not given.quick:
        print(f"written to {write_figures('bench-features', figures)}")  # noqa: T201
    return 0


def _sizes(sizes: Sequence[int]) -> dict[str, float]:
    mine(*share_of_accounts(0, 1, DAYS, 2))
    measured = [_mined(size) for size in sizes]
    print_table(
        ("mined", "accounts", "ad-days", "cells", "s", "CPU s", "ad-days a second", "peak MB"),
        [
            (
                f"{each.accounts:,} accounts",
                f"{each.accounts:,}",
                f"{each.ad_days:,}",
                f"{each.ad_days * CELLS_PER_DAY:,}",
                f"{each.seconds:.1f}",
                f"{each.cpu_s:.1f}",
                f"{each.ad_days / each.seconds:,.0f}",
                f"{each.peak_mb:,.0f}",
            )
            for each in measured
        ],
    )
    first, last = measured[0], measured[-1]
    return {
        "seconds_small": first.seconds,
        "seconds_large": last.seconds,
        "cpu_s_small": first.cpu_s,
        "cpu_s_large": last.cpu_s,
        "growth_exponent": math.log(last.cpu_s / first.cpu_s) / math.log(last.accounts / first.accounts),
        "ad_days_large": float(last.ad_days),
        "peak_mb_small": first.peak_mb,
        "peak_mb": last.peak_mb,
    }


def _mined(accounts: int) -> Mined:
    seconds = cpu = 0.0
    for begin in range(0, accounts, AT_ONCE):
        ad_days, cells = share_of_accounts(begin, min(AT_ONCE, accounts - begin), DAYS, ADS)
        clock, busy = time.perf_counter(), time.process_time()
        found = mine(ad_days, cells)
        seconds += time.perf_counter() - clock
        cpu += time.process_time() - busy
        if len(found) != len(ad_days):
            raise AssertionError(f"{len(ad_days)} ad-days went in and {len(found)} came out")
    return Mined(accounts, seconds, cpu, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def _against_pandas(accounts: int) -> dict[str, float]:
    ad_days, cells = share_of_accounts(0, accounts, DAYS, ADS)
    ours, seconds = _best(lambda: mine(ad_days, cells))
    # As pandas would have them, which is not charged for.
    frames = ad_days.to_pandas(), cells.with_columns(pl.col("cell").cast(pl.String)).to_pandas()
    clock = time.perf_counter()
    theirs = mine_in_pandas(*frames)
    pandas_s = time.perf_counter() - clock
    compared = [name for name in theirs.columns if name not in KEYS]
    for name in compared:
        np.testing.assert_allclose(
            theirs[name].to_numpy("float64"), ours[name].to_numpy(), rtol=1e-4, atol=1e-5, err_msg=name
        )
    print(  # noqa: T201
        f"\n{len(ad_days):,} ad-days: pandas {pandas_s:.1f} s for {len(compared)} features, ours "
        f"{seconds:.2f} s for {len(ours.columns) - len(KEYS)}; the {len(compared)} agree\n"
    )
    return {"pandas_s": pandas_s, "ours_s": seconds, "ratio_to_pandas": pandas_s / seconds}


def _from_database(*, quick: bool) -> dict[str, float]:
    config = WorldConfig(accounts=10 if quick else 30, days=90, start=date(2025, 3, 3), ads_per_account=12)
    with embedded_postgres() as url:
        engine = make_engine(url)
        rows = load_world(engine, config).performance.rows
        accounts = [each.account_id for each in accounts_to_mine(engine, "none")]
        some = accounts[:AT_ONCE]
        (by_database, database_s) = _best(lambda: _exploded(engine, some), 2)
        (by_python, python_s) = _best(lambda: _parsed(engine, some), 2)
        keys = ["row", "breakdown", "cell"]
        if not by_database.sort(keys).equals(by_python.sort(keys)):
            raise AssertionError("the database and Python take raw_data apart differently")
        read = len(by_database["row"].unique())
        clock = time.perf_counter()
        stored = sum(mine_share(share, engine=engine)["changed"] for share in shares_to_mine(engine))
        through_s = time.perf_counter() - clock
        again_clock = time.perf_counter()
        again = sum(mine_share(share, engine=engine)["rows"] for share in shares_to_mine(engine))
        again_s = time.perf_counter() - again_clock
        forms = _storage(engine, quick=quick)
        engine.dispose()
    if stored != rows or again:
        raise AssertionError(f"{rows} rows were loaded, {stored} stored and {again} mined again")
    print(  # noqa: T201
        f"\nraw_data of {read:,} ad-days: {database_s:.2f} s by the database, {python_s:.2f} s in Python; "
        f"all the way for {rows:,}: {through_s:.1f} s; nothing new: {again_s:.2f} s\n"
    )
    return {
        "from_database_rows_s": rows / through_s,
        "explode_rows_s": read / database_s,
        "python_parse_rows_s": read / python_s,
        "explode_ratio_to_python": python_s / database_s,
        "nothing_new_s": again_s,
        **forms,
    }


def _exploded(engine: Engine, accounts: Sequence[str]) -> pl.DataFrame:
    return read_raw(
        engine,
        accounts,
        since=date(2025, 1, 1),
        cells_since=date(2025, 1, 1),
        breakdowns=BREAKDOWNS,
        purchase_types=PURCHASE_TYPES,
    ).cells


def _parsed(engine: Engine, accounts: Sequence[str]) -> pl.DataFrame:
    """The cells, by `json` in Python, column by column."""
    columns: dict[str, list[object]] = {name: [] for name in ("row", "breakdown", "cell", *FIGURES)}
    query = text("""
        SELECT raw_data::text FROM ads.performance_metric
        WHERE account_id = ANY(:accounts) AND breakdown = '' ORDER BY account_id, ad_id, metric_date
    """)
    labels = [name.split(",") for name in BREAKDOWNS]
    with engine.connect() as connection:
        for row, raw in enumerate(connection.execute(query, {"accounts": list(accounts)}).scalars()):
            answer = json.loads(raw)
            told, kind = answer.get("breakdowns") or {}, purchase_type(answer)
            for number, name in enumerate(BREAKDOWNS):
                for cell in told.get(name, ()):
                    bought = {each["action_type"]: each["value"] for each in cell.get("actions", ())}
                    counted = bought.get(kind)
                    columns["row"].append(row)
                    columns["breakdown"].append(number)
                    columns["cell"].append(",".join(cell[label] for label in labels[number]))
                    for figure in ("impressions", "clicks", "spend"):
                        columns[figure].append(float(cell.get(figure) or 0))
                    columns["purchases"].append(None if counted is None else float(counted))
    return pl.DataFrame(columns, schema_overrides={"purchases": pl.Float64})


def _storage(engine: Engine, *, quick: bool) -> dict[str, float]:
    """Columns, one array or one jsonb document: what it takes to write all, and to read three features."""
    from ml.features.mined_definitions import MINED_NAMES

    listed = ", ".join(MINED_NAMES)
    pairs = ", ".join(f"'{name}', {name}" for name in MINED_NAMES)
    forms = {
        "columns": (listed, "feed_share, hook_rate, frequency"),
        "array": (f"ARRAY[{listed}] AS all_of_them", "all_of_them[1], all_of_them[2], all_of_them[3]"),
        # A function takes a hundred arguments at most.
        "jsonb": (
            f"jsonb_strip_nulls(jsonb_build_object({pairs})) AS all_of_them",
            "all_of_them -> 'feed_share', all_of_them -> 'hook_rate', all_of_them -> 'frequency'",
        ),
    }
    told, shown = {}, []
    for name, (stored, wanted) in forms.items():
        with engine.begin() as connection:
            _, write_s = _best(
                lambda stored=stored, name=name, connection=connection: (
                    connection.execute(text(f"DROP TABLE IF EXISTS form_{name}")),
                    connection.execute(
                        text(
                            f"CREATE TABLE form_{name} AS SELECT account_id, {stored} FROM ads.mined_feature"
                        )
                    ),
                )
            )
            _, read_s = _best(
                lambda wanted=wanted, name=name, connection=connection: connection.execute(
                    text(f"SELECT account_id, {wanted} FROM form_{name}")
                ).fetchall()
            )
            size = connection.execute(text(f"SELECT pg_table_size('form_{name}')")).scalar_one() / 2**20
        shown.append((name, f"{write_s:.2f}", f"{read_s:.3f}", f"{size:.1f}"))
        told |= {f"stored_as_{name}_read_s": read_s, f"stored_as_{name}_mb": size}
    print_table(("stored as", "write s", "read 3 features s", "MB"), shown)
    return told


def _best(work: Callable[[], T], times: int = 3) -> tuple[T, float]:
    """What it gives, and the fastest of some times in seconds."""
    seconds = []
    for _ in range(times):
        clock = time.perf_counter()
        found = work()
        seconds.append(time.perf_counter() - clock)
    return found, min(seconds)


if __name__ == "__main__":
    sys.exit(main())

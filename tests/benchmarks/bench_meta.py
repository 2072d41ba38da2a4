"""What a night's Insights cost, by how many days back are fetched again. `make bench-meta`.

A simulated platform is loaded as it was known the evening before; the night is then fetched from the sandbox
over HTTP, with Meta's SDK, into a real PostgreSQL, once for each length of the restatement window. The
requests are those Meta would be asked; the seconds are ours and the sandbox's on one machine, so they are an
upper bound of ours. `seen` is the share of a day's conversions that had arrived when the day is fetched for
the last time: what comes later is never known.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from include.config import thresholds
from include.db import ads, make_engine
from include.meta_ads.client import MetaClient
from include.meta_ads.loading import load_window
from include.sandbox.server import SandboxServer
from include.simulator import SimulatedWorld, WorldConfig
from include.simulator.loading import load_world
from tests.benchmarks.embedded import embedded_postgres
from tests.benchmarks.reporting import print_table, write_figures

WINDOWS = (1, 3, 7, 28)


def main() -> int:
    """Load, fetch, print, keep."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--accounts", type=int, default=100)
    arguments.add_argument("--days", type=int, default=60, help="days the platform ran before")
    given = arguments.parse_args()
    night = datetime.now(UTC).date()
    config = WorldConfig(accounts=given.accounts, days=given.days, start=night - timedelta(days=given.days))
    world = SimulatedWorld.generate(config.reaching(night))
    by_delay = world.delivery.conversions.sum(axis=0)
    rows, figures = [], {}
    for days in WINDOWS:
        with embedded_postgres() as url, tempfile.TemporaryDirectory() as folder:
            engine = make_engine(url)
            load_world(engine, config)
            account_ids = [account.account_id for account in ads.accounts(engine)]
            settings = thresholds().ads
            with (
                SandboxServer(Path(folder), "bench", world_provider=lambda: world) as sandbox,
                MetaClient.of_settings(sandbox.meta_url, "bench", settings) as client,
            ):
                began = time.perf_counter()
                since = night - timedelta(days=days)
                done = load_window(engine, client, account_ids, since, night, settings, run_key="bench")
                seconds, requests = time.perf_counter() - began, client.requests_made
            engine.dispose()
        seen = by_delay[: days + 1].sum() / by_delay.sum()
        rows.append(
            (
                f"{days} days",
                f"{requests:,}",
                f"{seconds:.1f}",
                f"{done.rows:,}",
                f"{done.changed:,}",
                f"{seen:.1%}",
            )
        )
        figures |= {
            f"requests_{days}_days": requests,
            f"seconds_{days}_days": round(seconds, 2),
            f"rows_{days}_days": done.rows,
            f"changed_{days}_days": done.changed,
            f"conversions_seen_{days}_days": round(float(seen), 4),
        }
    print_table(("restated", "requests", "seconds", "rows", "changed", "seen"), rows)
    write_figures("meta", figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Reading a CRM of 100,000 deals with their histories: the first night, a day's changes, memory, manners.

`make bench-crm`. The sandbox stands in for HubSpot, in a process of its own, with limits that are out of the
way, because waiting for HubSpot's own would be most of the time; how well those are kept is measured apart.
The loading process is measured after its imports; PostgreSQL's and the sandbox's work is not in its CPU
seconds, and both share the machine's cores with it, so rows per second are a lower bound. A day changes 1 %
of the deals.

    python -m tests.benchmarks.bench_crm --quick     # 2,000 and 10,000 deals
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from math import ceil
from pathlib import Path
from typing import Any

import httpx

from include.config import thresholds
from include.crm.checks import check_deals
from include.crm.client import HubSpotClient
from include.crm.contacts import COMPANIES, CONTACTS, load_linked
from include.crm.deals import load_archived_deals, load_deals
from include.crm.directory import load_directory
from include.crm.people import PeopleKey
from include.db import make_engine
from tests.benchmarks.embedded import embedded_postgres, free_port
from tests.benchmarks.reporting import print_table, write_figures

KEY = "bench-sandbox-key"
CHANGED_SHARE = 0.01
DAY_S = 86_400
NO_LIMITS = {"ten_seconds": 1e9, "search_per_second": 1e9, "daily": 1e9}
HUBSPOTS_LIMITS = {"ten_seconds": 190, "search_per_second": 5, "daily": 1e9}
TABLES = ("deal", "deal_stage_event", "deal_property_event", "association", "contact", "company")


@dataclass(frozen=True)
class Night:
    """What one night cost the loading process.

    Attributes:
        deals: that were read.
        requests: tries counted each.
        cpu_s: user and system time after imports.
        peak_mb: greatest resident memory, in mebibytes; `imported_mb` was resident before the work.
    """

    deals: int
    requests: int
    wall_s: float
    cpu_s: float
    peak_mb: float
    imported_mb: float


def main() -> int:
    """Measure, print, and write the figures."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    arguments.add_argument("--quick", action="store_true", help="2,000 and 10,000 deals")
    arguments.add_argument("--night", nargs=2, metavar=("DATABASE", "HOST"), help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.night:
        print(json.dumps(asdict(_read(*given.night))))  # noqa: T201
        return 0
    sizes = (2_000, 10_000) if given.quick else (10_000, 100_000)
    rows, figures = [], {}
    for deals in sizes:
        with (
            tempfile.TemporaryDirectory() as folder,
            embedded_postgres() as database,
            _sandbox(folder) as host,
        ):
            first, day, stored = _two_nights(database, host, deals)
        least = _least_first(deals), _least_day(day.deals)
        for name, night, fewest in (("first night", first, least[0]), ("a day's 1 %", day, least[1])):
            rows.append(
                (
                    f"{deals:,} deals, {name}",
                    f"{night.deals:,}",
                    f"{night.requests:,}",
                    f"{fewest:,}",
                    f"{night.wall_s:.1f}",
                    f"{night.cpu_s:.2f}",
                    f"{night.peak_mb:.0f}",
                    f"{night.imported_mb:.0f}",
                )
            )
        ratios = first.requests / day.requests, first.cpu_s / day.cpu_s
        figures |= {
            f"peak_mb_{deals // 1000}k": first.peak_mb,
            "peak_mb": first.peak_mb,
            "load_rows_per_s": stored / first.wall_s,
            "load_cpu_s": first.cpu_s,
            "increment_cpu_s": day.cpu_s,
            "request_cost_ratio": ratios[0],
            "cpu_cost_ratio": ratios[1],
            "increment_cost_ratio": min(ratios),
            "requests_over_minimum": max(first.requests / least[0], day.requests / least[1]),
        }
    with tempfile.TemporaryDirectory() as folder, embedded_postgres() as database, _sandbox(folder) as host:
        _control(host, "hubspot/limits", HUBSPOTS_LIMITS)
        _control(host, "hubspot/seed", {"count": sizes[0]})
        _control(host, "clock", {"advance_seconds": 60})
        paced = _night(database, host)
    tries = paced.requests - _least_first(sizes[0])
    figures |= {"paced_requests_per_s": paced.requests / paced.wall_s, "paced_refusals": tries}
    print_table(
        ("", "read", "requests", "least", "s", "CPU s", "peak MB", "of it imports"),
        rows,
    )
    print(  # noqa: T201
        f"\nlimits of the sandbox above: none. At HubSpot's own (190 in 10 s, 5 searches a second): "
        f"{sizes[0]:,} deals in {paced.wall_s:.0f} s, {paced.requests:,} requests, {tries} refused\n"
    )
    print_table(("figure", "value"), [(name, f"{value:.4g}") for name, value in figures.items()])
    if not given.quick:
        print(f"written to {write_figures('bench-crm', figures)}")  # noqa: T201
    return 0


def _two_nights(database: str, host: str, deals: int) -> tuple[Night, Night, int]:
    """The first night, and the second day's; and how many rows the first stored."""
    _control(host, "hubspot/limits", NO_LIMITS)
    _control(host, "hubspot/seed", {"count": deals})
    _control(host, "clock", {"advance_seconds": 60})
    first = _night(database, host)
    engine = make_engine(database)
    with engine.connect() as connection:
        stored = sum(
            connection.exec_driver_sql(f"SELECT count(*) FROM crm.{table}").scalar_one() for table in TABLES
        )
    engine.dispose()
    # The day after the seed still overlaps with it: what a usual day costs shows on the second.
    for number in (1, 2):
        _control(host, "clock", {"advance_seconds": DAY_S})
        _control(host, "hubspot/work", {"share": CHANGED_SHARE, "seed": number})
        _control(host, "clock", {"advance_seconds": 60})
        day = _night(database, host)
    return first, day, stored


def _night(database: str, host: str) -> Night:
    command = [sys.executable, "-m", "tests.benchmarks.bench_crm", "--night", database, host]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return Night(**json.loads(done.stdout.splitlines()[-1]))


def _read(database: str, host: str) -> Night:
    """One night in this process."""
    settings, engine, key = thresholds().crm, make_engine(database), PeopleKey("k" * 32, 16)
    imported_mb, cpu, began = _peak_mb(), time.process_time(), time.perf_counter()
    with HubSpotClient(f"{host}/hubspot", KEY, settings) as client:
        load_directory(engine, client, key)
        done = load_deals(engine, client, settings)
        load_archived_deals(engine, client, settings)
        for kind in (CONTACTS, COMPANIES):
            load_linked(engine, client, key, settings, kind)
        checked = check_deals(engine, client, settings)
        if checked["warnings"]:
            raise RuntimeError(checked["warnings"][0])
        return Night(
            deals=done["read"],
            requests=client.calls,
            wall_s=time.perf_counter() - began,
            cpu_s=time.process_time() - cpu,
            peak_mb=_peak_mb(),
            imported_mb=imported_mb,
        )


def _least_first(deals: int) -> int:
    """Every page once: directory, newest changes, deals, links in steps, contacts, companies, counts."""
    at = thresholds().crm
    pages = ceil(deals / at.history_page) + 2 * ceil(deals / at.association_ids)
    return 7 + 3 + pages + ceil(deals / at.list_page) + ceil(deals / 2 / at.list_page) + 1 + 3


def _least_day(changed: int) -> int:
    """The same for changes: a search that finds them, their histories, their links; nothing new of people."""
    at = thresholds().crm
    pages = ceil(changed / at.search_page) + ceil(changed / at.history_page)
    return 7 + 3 + pages + 2 * ceil(changed / at.deals_per_step) + 1 + 3


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@contextmanager
def _sandbox(folder: str) -> Iterator[str]:
    """A sandbox without a world, in a process of its own; its address."""
    port = free_port()
    program = (
        "import sys, pathlib, uvicorn\n"
        "from include.sandbox.app import create_app\n"
        "app = create_app(pathlib.Path(sys.argv[1]), sys.argv[2], lambda: None)\n"
        "uvicorn.run(app, host='127.0.0.1', port=int(sys.argv[3]), log_level='critical', access_log=False)\n"
    )
    arguments = (str(Path(folder)), KEY, str(port))
    server = subprocess.Popen([sys.executable, "-c", program, *arguments])
    host = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 60
        while not _answers(host):
            if time.monotonic() > deadline or server.poll() is not None:
                raise TimeoutError("the sandbox did not start within a minute")
            time.sleep(0.1)
        yield host
    finally:
        server.terminate()
        server.wait(20)


def _answers(host: str) -> bool:
    try:
        return httpx.get(f"{host}/healthz", timeout=1).status_code == 200
    except httpx.HTTPError:
        return False


def _control(host: str, what: str, order: dict[str, Any]) -> None:
    headers = {"authorization": f"Bearer {KEY}"}
    httpx.post(f"{host}/control/{what}", json=order, headers=headers, timeout=600).raise_for_status()


if __name__ == "__main__":
    sys.exit(main())

"""`python -m include.simulator load` writes a simulated ad platform to the database; `describe` shows one."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from include.command_line import DatabaseFailure, database_sentence, day_argument
from include.config import thresholds
from include.config.connections import connection
from include.db import make_engine
from include.errors import NightshiftError
from include.simulator.config import DriftEvent, WorldConfig
from include.simulator.loading import load_world
from include.simulator.truth import oracle_mae_pp
from include.simulator.world import SimulatedWorld

# With drift on and no day named, the last week is different.
DRIFT_LAST_DAYS = 7


def main(arguments: Sequence[str]) -> int:
    """Run one command; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        config = _config(options)
        if options.command == "describe":
            print(_description(config))
            return 0
        engine = make_engine(connection("nightshift_db").url)
        began = time.monotonic()
        loaded = load_world(engine, config, replace_stored=options.replace)
    except NightshiftError as error:
        print(f"simulator: {error}", file=sys.stderr)
        return 1
    except DatabaseFailure as error:
        print(f"simulator: {database_sentence(error)}", file=sys.stderr)
        return 1
    rows = loaded.performance
    print(
        f"world {loaded.config.world_id}: {loaded.config.start} to {loaded.config.until}, {loaded.accounts} "
        f"accounts, {loaded.ads} ads; {rows.rows} ad-days written ({rows.inserted} new, "
        f"{rows.changed} changed, {rows.unchanged} as they were) in {time.monotonic() - began:.1f} s"
    )
    return 0


def _config(options: argparse.Namespace) -> WorldConfig:
    until = options.until or datetime.now(UTC).date() - timedelta(days=1)
    drift = None
    if options.drift == "on":
        start = options.drift_start or until - timedelta(days=DRIFT_LAST_DAYS - 1)
        drift = DriftEvent(start, options.drift_strength)
    return WorldConfig(
        seed=options.seed,
        accounts=options.accounts,
        scale=options.scale,
        start=until - timedelta(days=options.days - 1),
        days=options.days,
        ads_per_account=options.ads_per_account,
        drift=drift,
    )


def _description(config: WorldConfig) -> str:
    began = time.monotonic()
    world = SimulatedWorld.generate(config)
    seconds = time.monotonic() - began
    daily = world.daily
    by_niche = daily.assign(niche=world.ads["niche"].to_numpy()[daily["ad_number"]]).groupby("niche")
    lines = [
        f"world {config.world_id}: {config.start} to {config.until}, drift {config.drift or 'off'}",
        f"{len(world.accounts)} accounts, {len(world.campaigns)} campaigns, {len(world.creatives)} "
        f"creatives, {len(world.ads)} ads, {len(daily)} ad-days, made in {seconds:.1f} s",
        f"{daily['impressions'].sum():,} impressions, {daily['clicks'].sum():,} clicks, "
        f"{daily['spend'].sum():,.2f} USD, {daily['conversions'].sum():,} conversions",
        f"error of a forecaster who knows the truth: {oracle_mae_pp(daily):.3f} percentage points of CTR",
        f"{'niche':<14}{'ad-days':>9}{'CTR %':>8}{'true %':>8}{'spend':>14}",
    ]
    for niche, rows in by_niche:
        shown = rows["impressions"].sum()
        seen, true = rows["clicks"].sum() / shown, (rows["true_ctr"] * rows["impressions"]).sum() / shown
        lines.append(
            f"{niche:<14}{len(rows):>9}{100 * seen:>8.2f}{100 * true:>8.2f}{rows['spend'].sum():>14,.2f}"
        )
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    defaults = thresholds().simulator
    parser = argparse.ArgumentParser(prog="python -m include.simulator", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    load = commands.add_parser("load", help="write the world to the database of connection nightshift_db")
    load.add_argument("--replace", action="store_true", help="remove another world and its accounts first")
    describe = commands.add_parser("describe", help="generate the world and print what is in it")
    for command in (load, describe):
        command.add_argument("--seed", type=int, default=defaults.seed)
        command.add_argument("--accounts", type=int, default=defaults.accounts)
        command.add_argument("--scale", type=float, default=1.0, help="multiplies the accounts")
        command.add_argument("--days", type=int, default=defaults.days)
        command.add_argument("--until", type=day_argument, help="last day; yesterday (UTC) by default")
        command.add_argument("--ads-per-account", type=int, default=defaults.ads_per_account)
        command.add_argument("--drift", choices=("on", "off"), default="off", help="plant a change")
        command.add_argument("--drift-start", type=day_argument, help="the last seven days by default")
        command.add_argument("--drift-strength", type=float, default=1.0, help="0 to 1")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

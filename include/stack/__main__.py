"""`python -m include.stack COMMAND`: the front door of the local stack. `make` calls it; so can you."""

import argparse
import contextlib
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from include.command_line import day_argument
from include.errors import NightshiftError
from include.stack import lifecycle
from include.stack.lifecycle import Stack
from include.stack.night import NightPlan, run_night
from include.stack.watch import watch


def main(arguments: list[str] | None = None) -> int:
    """Run one command. Exit status: 0 done, 1 it failed (one sentence on stderr), 130 stopped by Ctrl-C."""
    options = _parser().parse_args(arguments)
    # `kill` and a closed terminal end the command the way Ctrl-C does: in order.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        return int(options.run(Stack.from_environment(), options))
    except NightshiftError as error:
        print(f"nightshift: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m include.stack", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    up = commands.add_parser("up", help="start everything and stay; Ctrl-C stops it")
    up.set_defaults(run=_up)
    start = commands.add_parser("start", help="start everything and return; `down` stops it")
    start.set_defaults(run=_start)
    down = commands.add_parser("down", help="stop everything")
    down.set_defaults(run=_down)
    status = commands.add_parser("status", help="what runs and how it is")
    status.set_defaults(run=_status)
    supervised = commands.add_parser("watch", help="(run by the supervisor) restart what no longer answers")
    supervised.set_defaults(run=lambda stack, _: watch(stack, _say))

    night = commands.add_parser("nightly", help="run one whole night through Airflow and print what it did")
    night.add_argument("--keep", action="store_true", help="leave everything up afterwards")
    night.add_argument("--day", type=day_argument, help="the day to work on, YYYY-MM-DD (default: yesterday)")
    night.add_argument(
        "--ads-export", type=Path, help="work on this Ads Manager export instead of the simulator"
    )
    night.add_argument("--drift", action="store_true", help="let the simulated world change in its last week")
    night.set_defaults(run=_nightly)
    return parser


def _up(stack: Stack, _: argparse.Namespace) -> int:
    lifecycle.start(stack, _say)
    try:
        _print_addresses(stack)
        print("Ctrl-C stops everything.", flush=True)
        while stack.supervisor.is_running():
            time.sleep(1)
        _say("it was stopped from elsewhere")
    except KeyboardInterrupt:
        _say("stopping")
        raise
    finally:
        # Whoever is busy with a stack that is up is stopping it.
        with contextlib.suppress(lifecycle.StackBusy):
            lifecycle.stop(stack)
    return 0


def _start(stack: Stack, _: argparse.Namespace) -> int:
    lifecycle.start(stack, _say)
    _print_addresses(stack)
    print("`make down` stops everything.")
    return 0


def _down(stack: Stack, _: argparse.Namespace) -> int:
    lifecycle.stop(stack)
    _say("everything is stopped; data stay in " + str(stack.settings.var))
    return 0


def _status(stack: Stack, _: argparse.Namespace) -> int:
    states = lifecycle.status(stack)
    for name, state in states.items():
        print(f"{name:24}{state}")
    return 0 if set(states.values()) == {"healthy"} else 1


def _nightly(stack: Stack, options: argparse.Namespace) -> int:
    plan = NightPlan.make(day=options.day, ads_export=options.ads_export, drift=options.drift)
    began = time.monotonic()
    # A stack that somebody else started is borrowed: it stays up whatever happens here.
    started_here = lifecycle.start(stack, _say)
    stop_afterwards = started_here and not options.keep
    try:
        succeeded = run_night(stack, plan, _say, began)
        if options.keep:
            _print_addresses(stack)
            print("`make down` stops everything.")
    except KeyboardInterrupt:
        stop_afterwards = started_here
        raise
    finally:
        if stop_afterwards:
            _say("stopping everything")
            lifecycle.stop(stack)
    return 0 if succeeded else 1


def _print_addresses(stack: Stack) -> None:
    settings, secrets = stack.settings, stack.secrets
    print(
        f"\n  Airflow      {settings.url('airflow')}   user admin, password {secrets['airflow_password']}"
        f"\n  MLflow       {settings.url('mlflow')}"
        f"\n  Slack inbox  {settings.url('sandbox')}/slack/inbox"
        f"\n  HTTP API     {settings.url('serving')}/docs   x-api-key {secrets['api_key']}"
        f"\n  Logs         {settings.logs}\n",
        flush=True,
    )


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _say(text: str) -> None:
    # A terminal that was closed meanwhile must not keep anything from being stopped.
    with contextlib.suppress(OSError):
        print(f"[{time.strftime('%H:%M:%S')}] {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())

"""What a person sees while the night runs: a live table on a terminal, plain lines in a log file."""

import time
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from include.stack.airflow_api import DagRun, TaskProgress
from include.stack.lifecycle import Say

if TYPE_CHECKING:
    from include.stack.night import DagOutcome

_COLOURS = {"success": "green", "failed": "red", "running": "cyan", "queued": "yellow"}


class NightScreen:
    """The table of DAG, state, duration and what it did, kept up to date until the night is over.

    Args:
        outcomes: per DAG; read at every refresh, changed by the caller.
        say: takes a line per change where there is no terminal.
    """

    def __init__(self, outcomes: "dict[str, DagOutcome]", say: Say) -> None:
        self._outcomes = outcomes
        self._say = say
        self._console = Console()
        self._live: Live | None = None
        self._doing: dict[str, str] = {}
        self._since: dict[str, float] = {}

    def __enter__(self) -> "NightScreen":
        if self._console.is_terminal:
            self._live = Live(get_renderable=self._table, console=self._console, refresh_per_second=4)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()
        elif error is None:
            # A log has no terminal to measure; wide enough that no sentence is cut.
            Console(width=160).print(self._table())

    def progress(self, name: str, run: DagRun, tasks: TaskProgress) -> None:
        """Take in one look at a run."""
        self._since.setdefault(name, time.monotonic())
        self._outcomes[name].state = run.state
        doing = f"{tasks.done}/{tasks.total} tasks"
        doing += f", {', '.join(tasks.running)}" if tasks.running else ""
        doing += f", failed: {', '.join(tasks.failed)}" if tasks.failed else ""
        if doing != self._doing.get(name):
            self._doing[name] = doing
            if not self._live and run.state == "running":
                self._say(f"{name}: {doing}")

    def finished(self, name: str) -> None:
        """Take in a run's end."""
        outcome = self._outcomes[name]
        if not self._live:
            self._say(f"{name}: {outcome.state}, {outcome.did.get('summary') or self._doing.get(name, '')}")

    def _table(self) -> Table:
        table = Table(title="The night", title_justify="left", expand=False)
        table.add_column("DAG", no_wrap=True)
        table.add_column("State")
        table.add_column("Seconds", justify="right")
        table.add_column("What it did", overflow="fold")
        for name, outcome in self._outcomes.items():
            seconds = outcome.seconds
            if seconds is None and name in self._since:
                seconds = time.monotonic() - self._since[name]
            table.add_row(
                name,
                Text(outcome.state, style=_COLOURS.get(outcome.state, "")),
                "" if seconds is None else f"{seconds:.0f}",
                str(outcome.did.get("summary") or self._doing.get(name, "")),
            )
        return table

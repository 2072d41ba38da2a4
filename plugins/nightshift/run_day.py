"""The day a run is about, decided in one place.

Params are made anew for each DAG: `dag.test()` writes a run's values into them.
"""

from __future__ import annotations

from datetime import date
from typing import Any

from airflow.sdk import Param


def date_param(title: str, description: str) -> Param:
    """A param that takes a date, YYYY-MM-DD, or nothing."""
    return Param(
        None,
        type=["null", "string"],
        format="date",
        pattern=r"^\d{4}-\d{2}-\d{2}$",
        title=title,
        description=description,
    )


def day_param() -> Param:
    """The day to work on, or nothing."""
    return date_param("Day", "The day to work on, YYYY-MM-DD. Empty: the day of the run.")


def run_day(params: dict[str, Any], dag_run: Any) -> date:
    """Param `day` where it is given, else the run's logical date, else the moment it was due.

    Runs that an asset started have no logical date. Nothing here looks at the clock, so a run cleared
    tomorrow works on the same day.

    Raises:
        ValueError: `day` is no date of the calendar.
    """
    if params.get("day"):
        try:
            return date.fromisoformat(params["day"])
        except ValueError as error:
            raise ValueError(f"param day is '{params['day']}', not a date like 2026-01-31") from error
    return (dag_run.logical_date or dag_run.run_after).date()

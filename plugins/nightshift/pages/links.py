"""Buttons on task pages that open Nightshift's own pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator

# Where Airflow serves the pages.
PREFIX = "/nightshift"


class NightBatchesLink(BaseOperatorLink):
    """From the task that waits to how far its batches are."""

    name = "Batches of this night"

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        """The page of the night that the task waits for."""
        from airflow.sdk.configuration import conf

        base = conf.get("api", "base_url", fallback="http://localhost:8080").rstrip("/")
        day = getattr(operator, "batches", None)
        day = day.get("day") if isinstance(day, dict) else None
        return f"{base}{PREFIX}/llm/batches" + (f"?day={day}" if day else "")

"""Queries about updates of champions: what was tried, what won, by how much."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Engine, text


@dataclass(frozen=True)
class ModelUpdate:
    """One tournament of updates, as `ml.model_update` keeps it.

    Attributes:
        day: last day of the data.
        parent_version: the champion that was to be updated.
        mode: incremental or update.
        severity, incident: of the drift that asked; None where a person did.
        candidates: how each strategy did.
        winner: a strategy, or keep.
        version: what was made; None where nothing was.
        ne_before, ne_after: normalised entropy on the judging rows; None where it is not defined.
        judged_rows, judged_since, judged_until: the rows that judged.
        outcome: in a sentence.
    """

    model_name: str
    day: date
    parent_version: int
    mode: str
    reason: str
    severity: str | None
    incident: str | None
    candidates: list[dict[str, Any]]
    winner: str
    version: int | None
    ne_before: float | None
    ne_after: float | None
    judged_rows: int
    judged_since: date
    judged_until: date
    outcome: str


def record_model_update(engine: Engine, update: ModelUpdate) -> None:
    """Keep a tournament. Held again it replaces the row, but what asked for it first is not forgotten."""
    values = {**vars(update), "candidates": json.dumps(update.candidates, allow_nan=False)}
    with engine.begin() as connection:
        connection.execute(
            text("""
                INSERT INTO ml.model_update AS stored (
                    model_name, day, parent_version, mode, reason, severity, incident, candidates, winner,
                    version, ne_before, ne_after, judged_rows, judged_since, judged_until, outcome)
                VALUES (:model_name, :day, :parent_version, :mode, :reason, :severity, :incident,
                        CAST(:candidates AS jsonb), :winner, :version, :ne_before, :ne_after, :judged_rows,
                        :judged_since, :judged_until, :outcome)
                ON CONFLICT (model_name, day, parent_version, mode) DO UPDATE
                SET reason = COALESCE(NULLIF(EXCLUDED.reason, ''), stored.reason),
                    severity = COALESCE(EXCLUDED.severity, stored.severity),
                    incident = COALESCE(EXCLUDED.incident, stored.incident),
                    candidates = EXCLUDED.candidates, winner = EXCLUDED.winner, version = EXCLUDED.version,
                    ne_before = EXCLUDED.ne_before, ne_after = EXCLUDED.ne_after,
                    judged_rows = EXCLUDED.judged_rows, judged_since = EXCLUDED.judged_since,
                    judged_until = EXCLUDED.judged_until, outcome = EXCLUDED.outcome, decided_at = now()
                WHERE (stored.reason, stored.severity, stored.incident, stored.candidates, stored.winner,
                       stored.version, stored.judged_rows, stored.outcome)
                      IS DISTINCT FROM
                      (COALESCE(NULLIF(EXCLUDED.reason, ''), stored.reason),
                       COALESCE(EXCLUDED.severity, stored.severity),
                       COALESCE(EXCLUDED.incident, stored.incident), EXCLUDED.candidates, EXCLUDED.winner,
                       EXCLUDED.version, EXCLUDED.judged_rows, EXCLUDED.outcome)
            """),
            values,
        )


def model_updates(engine: Engine, model_name: str, since: date | None = None) -> list[ModelUpdate]:
    """Tournaments for the data of `since` and later days (None: all), newest first."""
    query = text("""
        SELECT model_name, day, parent_version, mode, reason, severity, incident, candidates, winner, version,
               ne_before, ne_after, judged_rows, judged_since, judged_until, outcome
        FROM ml.model_update
        WHERE model_name = :model_name AND day >= COALESCE(CAST(:since AS date), '-infinity')
        ORDER BY day DESC, decided_at DESC, parent_version DESC, mode
    """)
    with engine.connect() as connection:
        found = connection.execute(query, {"model_name": model_name, "since": since}).mappings()
        return [ModelUpdate(**row) for row in found]

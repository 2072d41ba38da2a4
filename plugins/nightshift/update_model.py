"""Updates of a champion: what a tournament says as plain values, kept with the version and in a table."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from ml.ctr import Tournament
    from ml.registry import RegisteredVersion
    from ml.registry.record import TrainingRecord

# Of a version: the tournament as JSON. A run that died after registering finds it there.
TAG = "update"
KEEP = "keep"


def told(tournament: Tournament) -> dict[str, Any]:
    """A tournament as plain values: parent, winner, candidates, ne_before, ne_after, judged_*, outcome.

    Each candidate has strategy, saved, low and high (share of the parent's log loss on the rows that judged),
    old (the same on old rows), ne, passed and reason; figures of what was not tried are None.
    """
    return {
        "parent": tournament.parent,
        "winner": tournament.winner.value if tournament.winner else KEEP,
        "candidates": [
            {
                "strategy": each.strategy.value,
                "saved": _rounded(each.saved and each.saved.value),
                "low": _rounded(each.saved and each.saved.low),
                "high": _rounded(each.saved and each.saved.high),
                "old": _rounded(each.old and each.old.value),
                "ne": _rounded(each.entropy),
                "passed": each.passed,
                "reason": each.reason,
            }
            for each in tournament.candidates
        ],
        "ne_before": _rounded(tournament.entropy_before),
        "ne_after": _rounded(tournament.entropy_after),
        "judged_rows": tournament.judged_rows,
        "judged_since": tournament.judged_since.isoformat(),
        "judged_until": tournament.judged_until.isoformat(),
        "outcome": tournament.sentence,
    }


def with_update(record: TrainingRecord, update: dict[str, Any]) -> TrainingRecord:
    """A version's record with how it won: tags `strategy` and `update`, metrics, words for the model card."""
    won = next(each for each in update["candidates"] if each["strategy"] == update["winner"])
    figures = {
        "skill_vs_parent": won["saved"],
        "skill_vs_parent_low": won["low"],
        "skill_vs_parent_high": won["high"],
        # On all rows that judged; the version's own figures are of those of one fold.
        "update_ne_before": update["ne_before"],
        "update_ne_after": update["ne_after"],
    }
    return replace(
        record,
        metrics={**record.metrics, **{name: value for name, value in figures.items() if value is not None}},
        facts={**record.facts, "strategy": update["winner"], TAG: json.dumps(update)},
        note="; ".join(filter(None, (record.note, update["outcome"]))),
    )


def update_of(version: RegisteredVersion) -> dict[str, Any] | None:
    """The tournament that made a version; None where none did."""
    written = version.tags.get(TAG)
    return json.loads(written) if written else None


def keep_update(
    engine: Engine, plan: dict[str, Any], model_name: str, update: dict[str, Any], version: int | None
) -> None:
    """Keep a tournament in `ml.model_update`: once for a model, day, parent and mode.

    Args:
        engine: the `nightshift` database.
        plan: what asked for it; see `nightshift.train_model.plan_trainings`.
        model_name: of the registered model.
        update: as `told` says it.
        version: what was made of it; None where nothing was.
    """
    from include.db.model_updates import ModelUpdate, record_model_update

    record_model_update(
        engine,
        ModelUpdate(
            model_name=model_name,
            day=date.fromisoformat(plan["day"]),
            parent_version=update["parent"],
            mode=plan["mode"],
            reason=plan["reason"],
            severity=plan["severity"],
            incident=plan["incident"],
            candidates=update["candidates"],
            winner=update["winner"],
            version=version,
            ne_before=update["ne_before"],
            ne_after=update["ne_after"],
            judged_rows=update["judged_rows"],
            judged_since=date.fromisoformat(update["judged_since"]),
            judged_until=date.fromisoformat(update["judged_until"]),
            outcome=update["outcome"],
        ),
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)

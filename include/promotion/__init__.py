"""Promote and roll back: aliases in MLflow, moved safely.

MLflow's aliases are last-writer-wins, without history, and vanish with a deleted version. So our database
keeps what we believe they are (`ml.model_alias`) and every move (`ml.alias_move`):

- `moves`: promote and roll back, by compare-and-swap under a lock.
- `steps`: what one move does in MLflow, each step safe to repeat.
- `reconcile`: compares MLflow with what we believe, finishes what was cut off, adopts, repairs, reports.
- `evidence`: what a person decides by.
"""

from include.promotion.errors import (
    ChampionChanged,
    NothingToPromote,
    NothingToRollBackTo,
    PromotionRefused,
    RolledBackJustNow,
    VersionUnknown,
)
from include.promotion.evidence import Evidence, gather_evidence
from include.promotion.moves import promote, roll_back
from include.promotion.reconcile import Finding, FindingKind, reconcile

__all__ = [
    "ChampionChanged",
    "Evidence",
    "Finding",
    "FindingKind",
    "NothingToPromote",
    "NothingToRollBackTo",
    "PromotionRefused",
    "RolledBackJustNow",
    "VersionUnknown",
    "gather_evidence",
    "promote",
    "reconcile",
    "roll_back",
]

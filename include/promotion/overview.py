"""What the pages about models show, from our books alone: they open also while MLflow is away."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Engine

from include.db import promotion as db
from include.db.experiments import AbTest, Look, experiments_of, last_look
from include.db.promotion import Move, Promotion
from ml.registry import CHALLENGER, CHAMPION, PREVIOUS_CHAMPION

MOVES_SHOWN = 40
PROMOTIONS_SHOWN = 20
EXPERIMENTS_SHOWN = 10


@dataclass(frozen=True)
class ModelLine:
    """One model and what its versions are called; None where there is none."""

    name: str
    champion: int | None
    previous: int | None
    challenger: int | None
    last_move: Move | None


@dataclass(frozen=True)
class ModelsPage:
    """Models by name; experiments, newest first, each with what was seen last; promotions, open ones first;
    moves, newest first.
    """

    models: tuple[ModelLine, ...]
    experiments: tuple[tuple[AbTest, Look | None], ...]
    promotions: tuple[Promotion, ...]
    moves: tuple[Move, ...]


def models_page(engine: Engine) -> ModelsPage:
    """Everything on the page about models."""
    last = db.last_champion_moves(engine)
    return ModelsPage(
        models=tuple(
            ModelLine(
                name, held.get(CHAMPION), held.get(PREVIOUS_CHAMPION), held.get(CHALLENGER), last.get(name)
            )
            for name, held in db.all_aliases(engine).items()
        ),
        experiments=tuple(
            (test, last_look(engine, test.id)) for test in experiments_of(engine, limit=EXPERIMENTS_SHOWN)
        ),
        promotions=tuple(db.promotions(engine, limit=PROMOTIONS_SHOWN)),
        moves=tuple(db.moves(engine, limit=MOVES_SHOWN)),
    )

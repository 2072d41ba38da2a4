"""`python -m include.promotion status|promote|roll-back|reconcile --model ctr`: aliases from a terminal.

Reads the connections `nightshift_db` and `mlflow_default`. Exit status: 0 done, 1 not now (a service does not
answer: try again), 2 refused (somebody has to look first).
"""

from __future__ import annotations

import argparse
import getpass
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sqlalchemy import Engine

from include.command_line import DatabaseFailure, database_sentence
from include.config.connections import connection
from include.db import make_engine
from include.db import promotion as db
from include.errors import NightshiftError, PermanentError
from include.promotion import gather_evidence, promote, reconcile, roll_back
from include.promotion.errors import ChampionChanged
from ml.errors import ModelWorkError, PermanentModelError
from ml.registry import RegistryUnavailable, aliases_of, connect

if TYPE_CHECKING:
    from mlflow import MlflowClient

# The model nearly everybody means.
MODEL = "ctr"


def main(arguments: Sequence[str]) -> int:
    """Run one command; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        engine = make_engine(connection("nightshift_db").url)
        client = connect(connection("mlflow_default").host)
        try:
            print(_COMMANDS[options.command](engine, client, options))
        except RegistryUnavailable as error:
            begun = db.pending_move(engine, options.model)
            print(f"promotion: {error}", file=sys.stderr)
            if begun:
                print(f"promotion: move {begun.move_id} is begun, and completed later", file=sys.stderr)
            return 1
        finally:
            engine.dispose()
    except (NightshiftError, ModelWorkError) as error:
        print(f"promotion: {error}", file=sys.stderr)
        return 2 if isinstance(error, PermanentError | PermanentModelError) else 1
    except ValueError as error:
        print(f"promotion: {error}", file=sys.stderr)
        return 2
    except DatabaseFailure as error:
        print(f"promotion: {database_sentence(error)}", file=sys.stderr)
        return 1
    return 0


def _status(engine: Engine, client: MlflowClient, options: argparse.Namespace) -> str:
    """Aliases as MLflow and we have them, and the newest moves. Changes nothing."""
    held, believed = aliases_of(client, options.model), db.believed_aliases(engine, options.model)
    lines = [
        f"{alias}: v{held[alias]}" if alias in held else f"{alias}: not in MLflow"
        for alias in sorted({*held, *believed})
    ]
    lines += [
        f"  in our books {alias} is {f'v{believed[alias]}' if alias in believed else 'unknown'}"
        for alias in sorted({*held, *believed})
        if held.get(alias) != believed.get(alias)
    ]
    lines += [
        f"{move.created_at:%Y-%m-%d %H:%M} {move.action}: {_named(move.from_version)} -> "
        f"{_named(move.to_version)} ({move.state}) by {move.who}: {move.why}"
        for move in db.moves(engine, options.model, limit=10)
    ]
    return "\n".join(lines) or f"'{options.model}' has no alias, and none was ever moved"


def _promote(engine: Engine, client: MlflowClient, options: argparse.Namespace) -> str:
    found = reconcile(engine, client, options.model)
    evidence = gather_evidence(engine, client, options.model, options.version, reason=options.why)
    champion = evidence.champion.version if evidence.champion else None
    if options.champion is not None and options.champion != champion:
        raise ChampionChanged(
            f"champion of '{options.model}' is {_named(champion)}, not v{options.champion}; nothing was moved"
        )
    move = promote(
        engine,
        client,
        options.model,
        evidence.candidate.version,
        expected_champion=champion,
        who=options.who,
        why=options.why,
        evidence=evidence.as_json(),
    )
    told = [f"found: {finding.sentence}" for finding in found]
    return "\n".join([*told, evidence.summary, _moved(move)])


def _roll_back(engine: Engine, client: MlflowClient, options: argparse.Namespace) -> str:
    move = roll_back(
        engine, client, options.model, who=options.who, why=options.why, away_from=options.champion
    )
    return _moved(move)


def _reconcile(engine: Engine, client: MlflowClient, options: argparse.Namespace) -> str:
    """What watch_registry does for every model, for one."""
    found = [finding.sentence for finding in reconcile(engine, client, options.model)]
    return "\n".join(found) or f"the aliases of '{options.model}' are as believed"


def _moved(move: db.Move) -> str:
    return (
        f"champion of '{move.model_name}' was {_named(move.from_version)} and is "
        f"{_named(move.to_version)} now (move {move.move_id})"
    )


def _named(version: int | None) -> str:
    return "nothing" if version is None else f"v{version}"


_COMMANDS = {"status": _status, "promote": _promote, "roll-back": _roll_back, "reconcile": _reconcile}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m include.promotion", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    status = commands.add_parser("status", help="what the aliases are, and who moved them")
    forward = commands.add_parser("promote", help="make a version champion")
    back = commands.add_parser("roll-back", help="make the previous champion champion again")
    mend = commands.add_parser("reconcile", help="finish, adopt or repair what is not as believed")
    for command in (status, forward, back, mend):
        command.add_argument("--model", default=MODEL, help="registered model (default %(default)s)")
    forward.add_argument("--version", type=int, help="the version; the challenger by default")
    for command in (forward, back):
        command.add_argument("--why", required=True, type=_some_text, help="kept with the move")
        command.add_argument("--who", default=getpass.getuser(), help="(default %(default)s)")
        command.add_argument("--champion", type=int, help="only if this is the champion now")
    return parser


def _some_text(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("say why, in a few words")
    return text.strip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""How often the semantic cache would hit, and how often wrongly: `python -m include.llm.evaluate_cache`.

`--pairs FILE.csv` takes labelled pairs (text_a, text_b, is_duplicate), `--stream FILE.csv` questions in the
order they were asked (text, class), `--paraphrases FILE.json` sentences with a paraphrase each (origin,
similar). Beside what the cache learns it shows fixed cosine thresholds. Needs no database and no network.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from scipy.stats import beta

from include.config import thresholds
from include.errors import NightshiftError
from include.llm.cache.embedder import default_embedder
from include.llm.cache.evaluation import Outcome, PairsEvaluation, Promised, evaluate_pairs
from include.llm.cache.evaluation_files import read_pairs, read_paraphrases, read_stream
from include.llm.cache.paraphrases import evaluate_paraphrases
from include.llm.cache.stream import StreamEvaluation, evaluate_stream

DELTAS = (0.01, 0.02, 0.05)
HEAD = ("threshold", "hits", "hit rate", "wrong", "wrong/lookup", "95 % interval", "wrong/hit")
EXPLAINED = (
    "wrong/lookup: wrong semantic hits per lookup without an exact answer, which the promise is about; "
    "wrong/hit: per semantic hit."
)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code: 0 measured, 1 the file cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m include.llm.evaluate_cache", description=__doc__)
    files = parser.add_mutually_exclusive_group(required=True)
    files.add_argument("--pairs", type=Path, metavar="FILE.csv", help="text_a,text_b,is_duplicate")
    files.add_argument("--stream", type=Path, metavar="FILE.csv", help="text,class in the order asked")
    files.add_argument("--paraphrases", type=Path, metavar="FILE.json", help="a list of {origin, similar}")
    parser.add_argument(
        "--delta", type=_share, help="the promise: most wrong semantic hits per lookup, such as 0.01"
    )
    parser.add_argument(
        "--splits", type=_count, default=1, help="of pairs into halves, each learnt on in turn"
    )
    given = parser.parse_args(arguments)
    try:
        for line in _told(given):
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
    except NightshiftError as error:
        sys.stderr.write(f"evaluate_cache: {error}\n")
        return 1
    return 0


def _told(given: argparse.Namespace) -> list[str]:
    settings = thresholds().llm.cache
    embedder = default_embedder()
    if given.pairs:
        deltas = [given.delta] if given.delta else list(DELTAS)
        pairs = read_pairs(given.pairs)
        return pairs_told(
            evaluate_pairs(pairs, embedder, deltas, confidence=settings.confidence, splits=given.splits)
        )
    delta = given.delta or settings.false_hit_rate
    if given.stream:
        asked = read_stream(given.stream)
        return stream_told(evaluate_stream(asked, embedder, settings, delta, _progress))
    outcomes = evaluate_paraphrases(read_paraphrases(given.paraphrases), embedder, settings, delta)
    return [*table(outcomes), "", EXPLAINED]


def pairs_told(found: PairsEvaluation) -> list[str]:
    """An evaluation of pairs for the screen."""
    told = [f"{found.pairs} pairs, {found.duplicates} of them duplicates", "", "Fixed thresholds, all pairs:"]
    told += table(found.fixed)
    for delta, each in found.promised.items():
        told += ["", f"Promise {delta:.1%}, learnt on one half, measured on the other:"]
        told += table(
            [
                _named(f"{name}, half {n}", outcome)
                for n, half in enumerate(each, start=1)
                for name, outcome in _compared(half)
            ]
            + [
                _sum(name, [dict(_compared(half))[name] for half in each])
                for name, _ in _compared(each[0])
                if len(each) > 1
            ]
        )
        kept = sum(half.learnt.wrong_rate <= delta for half in each)
        won = sum(half.learnt.hits > half.best_at_same_rate.hits for half in each)
        told.append(
            f"promise kept on {kept} of {len(each)} halves; more hits than the best fixed threshold that is "
            f"wrong as rarely on {won} of {len(each)}"
        )
    told += [
        "",
        f"{found.compare_ms:.2f} ms to embed and compare a pair in batches, "
        f"{found.decide_us:.0f} us to score one",
        EXPLAINED,
        "The best fixed thresholds are chosen in hindsight on the very half they are measured on.",
    ]
    return told


def stream_told(found: StreamEvaluation) -> list[str]:
    """An evaluation of a stream for the screen."""
    learnt = found.learnt
    everything = learnt.exact + learnt.hits
    return [
        f"{found.questions} questions of {found.classes} classes; promise {found.delta:.1%}",
        *table([*found.fixed, learnt]),
        "",
        f"exact hits {learnt.exact} ({learnt.exact / found.questions:.2%} of all questions), "
        f"with semantic ones {everything} ({everything / found.questions:.2%})",
        f"checked hits {found.checked}, of them wrong {found.wrong_checks}; learnt {found.relearnt} times, "
        f"made stricter {found.tightened} times by checks",
        f"the promise of {found.delta:.1%} was {'kept' if learnt.wrong_rate <= found.delta else 'BROKEN'}",
        f"{found.embed_ms:.2f} ms to embed a question in batches, "
        f"{found.decide_ms:.2f} ms to compare and decide",
        EXPLAINED,
    ]


def table(outcomes: Sequence[Outcome]) -> list[str]:
    """Outcomes in columns."""
    rows = [HEAD, *(_row(each) for each in outcomes)]
    widths = [max(len(row[n]) for row in rows) for n in range(len(HEAD))]
    return [
        "  ".join(
            cell.ljust(width) if n == 0 else cell.rjust(width)
            for n, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _row(outcome: Outcome) -> tuple[str, ...]:
    low, high = interval(outcome.wrong, outcome.lookups)
    return (
        outcome.name, str(outcome.hits), f"{outcome.hit_rate:.2%}", str(outcome.wrong),
        f"{outcome.wrong_rate:.3%}", f"{low:.3%} to {high:.3%}", f"{outcome.wrong_of_hits:.1%}",
    )  # fmt: skip


def interval(count: int, of: int, confidence: float = 0.95) -> tuple[float, float]:
    """Two-sided confidence interval of a share (Clopper and Pearson).

    >>> [round(bound, 3) for bound in interval(5, 10)]
    [0.187, 0.813]
    """
    tail = (1 - confidence) / 2
    low = float(beta.ppf(tail, count, of - count + 1)) if count else 0.0
    high = float(beta.ppf(1 - tail, count + 1, of - count)) if count < of else 1.0
    return low, high


def _compared(half: Promised) -> tuple[tuple[str, Outcome], ...]:
    return (
        ("learnt", half.learnt),
        ("best fixed, wrong as rarely", half.best_at_same_rate),
        ("best fixed within the promise", half.best_at_delta),
    )


def _named(name: str, outcome: Outcome) -> Outcome:
    return Outcome(name, outcome.lookups, outcome.hits, outcome.wrong, outcome.exact)


def _sum(name: str, outcomes: Sequence[Outcome]) -> Outcome:
    return Outcome(
        f"{name}, all",
        sum(each.lookups for each in outcomes),
        sum(each.hits for each in outcomes),
        sum(each.wrong for each in outcomes),
    )


def _progress(sentence: str) -> None:
    sys.stderr.write(sentence + "\n")


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is no share between 0 and 1, such as 0.01")
    return value


def _count(text: str) -> int:
    if not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"'{text}' is no number from 1 on")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())

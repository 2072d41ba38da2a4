"""What `evaluate_experiment` does beyond judging: tell people, ask for a promotion, report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy import Engine

DAG_ID = "evaluate_experiment"


def evaluate(*, engine: Engine, tracking_uri: str, day: Any) -> list[dict[str, Any]]:
    """Judge what runs and start what is next; see `include.experiments.morning.evaluate_all`."""
    from include.config import thresholds
    from include.experiments.morning import evaluate_all
    from ml.registry import connect

    found = evaluate_all(engine, connect(tracking_uri), day, thresholds())
    return [outcome.as_json() for outcome in found]


def tell(
    outcomes: Sequence[dict[str, Any]], *, engine: Engine, run_id: str, run_url: str, page_url: str
) -> int:
    """A Slack message for every experiment that began or ended, once each; returns how many were posted."""
    from include.alerts import post_once
    from include.alerts.experiment import ExperimentNews, experiment_message
    from nightshift.connections import slack_channel

    posted = 0
    for outcome in outcomes:
        if outcome["event"] not in ("started", "ended", "lately"):
            continue
        news = ExperimentNews(
            model=outcome["model_name"],
            experiment=outcome["experiment"],
            champion=outcome["champion"],
            challenger=outcome["challenger"],
            decision=outcome["decision"] or outcome["event"],
            paragraph=outcome["paragraph"],
            run_url=run_url,
            page_url=page_url,
        )
        channel = slack_channel("slack_alerts" if news.needs_somebody else "slack_reports")
        posting = post_once(
            engine,
            channel,
            news.key,
            experiment_message(news),
            kind="experiment",
            dag_id=DAG_ID,
            run_id=run_id,
        )
        posted += posting.posted
    return posted


def promotions_wanted(outcomes: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What promote_model is asked for: experiments that ended with a better challenger."""
    return [
        {
            "model": outcome["model_name"],
            "version": outcome["challenger"],
            "reason": f"experiment {outcome['experiment']} found it better",
            "verdict": {
                "experiment": outcome["experiment"],
                "decision": outcome["decision"],
                "paragraph": outcome["paragraph"],
                "numbers": outcome["numbers"],
            },
        }
        for outcome in outcomes
        if outcome["event"] == "ended" and outcome["decision"] == "promote"
    ]


def evaluation_report(outcomes: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One dict for the whole run."""
    counts = {
        event: sum(outcome["event"] == event for outcome in outcomes)
        for event in ("started", "looked", "ended", "gap")
    }
    sentences = [
        f"{outcome['model_name']}"
        + (f", experiment {outcome['experiment']}" if outcome["experiment"] else "")
        + f": {outcome['paragraph']}"
        for outcome in outcomes
        if outcome["event"] != "lately"
    ]
    return {**counts, "summary": " ".join(sentences) or "No model is served yet: there is nothing to test."}

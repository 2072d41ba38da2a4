"""The model card: what a version is, in words that need no glossary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ml.registry.record import TrainingRecord

_MEMBERS = {
    "xgboost": "XGBoost (boosted trees)",
    "lightgbm": "LightGBM (boosted trees)",
    "mlp": "a small neural network",
    "constant": "one rate for everybody",
}


def model_card(record: TrainingRecord) -> str:
    """Markdown for MLflow's page of the run and of the version."""
    facts, metrics = record.facts, record.metrics
    period = (
        f"from {facts['window_start']} to {facts['window_end']}"
        if facts["window_start"]
        else "from an export without dates"
    )
    lines = [
        f"# {record.model_name}: click rate of ads",
        "",
        f"Predicts how many of a hundred impressions are clicked. Learnt {period}: "
        f"{int(facts['rows']):,} rows of {int(facts['ads']):,} ads with {int(facts['clicks']):,} clicks "
        f"out of {int(facts['impressions']):,} impressions (scope: {record.scope}).",
        *([f"It goes on from version {facts['parent_version']}."] if facts["parent_version"] else []),
        "",
        "## How good it is",
        "",
        _verdict(record),
        *([f"\nNote: {record.note}."] if record.note else []),
        *(
            ["", "It does **not** pass its gates:", *[f"- {each}" for each in record.failed_gates]]
            if record.failed_gates
            else []
        ),
        "",
        "| on the test part | this model | average for everybody |",
        "| --- | --- | --- |",
        f"| mean absolute error, percentage points | {_figure(metrics, 'mae_pp')} | "
        f"{_figure(metrics, 'mae_pp_constant')} |",
        f"| normalised entropy (below 1 is knowledge) | {_figure(metrics, 'normalized_entropy')} | "
        f"{_figure(metrics, 'normalized_entropy_constant')} |",
        f"| calibration error, percentage points | {_figure(metrics, 'calibration_error_pp')} | |",
        f"| predicted over real clicks | {_figure(metrics, 'predicted_actual_ratio')} | |",
        "",
        f"The smoothed average of each ad's account reaches a normalised entropy of "
        f"{_figure(metrics, 'normalized_entropy_smoothed_average')}. {_champion(metrics)}",
        "",
        f"Data was parted {record.split}. The figures are those of the model trained without the test part; "
        "what is registered is the same recipe refitted on all rows.",
        "",
        "## What it is made of",
        "",
        *_members(record),
        "",
        *_slices(record),
        "## What it looks at",
        "",
        *(
            [f"- {name}: {share:.1%}" for name, share in list(record.importances.items())[:10]]
            or ["- nothing: no feature helped on the validation part, so it predicts the average"]
        ),
        "",
        "## What it cannot do",
        "",
        "- It knows creatives by their labels, not by their pictures.",
        "- An account, hook or niche it has not seen counts as unknown, which means close to the average.",
        "- It predicts an ad's day as a whole, not each of its placements.",
        "- It says what happened to be so in this period; drift_report watches whether it still is.",
        "",
        f"Features {facts['feature_set']}, code {facts['git_commit']}, "
        f"data {facts['data_fingerprint'][:12]}, started by {facts['trigger']}"
        f"{': ' + facts['reason'] if facts['reason'] else ''}.",
    ]
    return "\n".join(lines) + "\n"


def _verdict(record: TrainingRecord) -> str:
    whom = "ads" if record.facts["mode"] == "full" else "days"
    if record.beats_constant:
        return (
            f"On {whom} it had never seen it predicts better than one average rate for everybody, and the "
            "difference is larger than chance between ads."
        )
    return (
        f"**On {whom} it had never seen it is not reliably better than one average rate for everybody.** "
        "Treat its differences between ads as noise."
    )


def _champion(metrics: Mapping[str, float]) -> str:
    if "skill_vs_champion" not in metrics:
        return "No rows were left that neither it nor the champion had learnt from, to compare the two."
    return (
        f"On {metrics['rows_vs_champion']:,.0f} rows that neither it nor the champion had learnt from it "
        f"saves {metrics['skill_vs_champion']:.2%} of the champion's log loss "
        f"({metrics['skill_vs_champion_low']:.2%} to {metrics['skill_vs_champion_high']:.2%})."
        + (
            ""
            if metrics.get("champion_is_older")
            else " The champion had learnt from later days than the one judged here; an experiment is fair."
        )
    )


def _members(record: TrainingRecord) -> list[str]:
    metrics = record.metrics
    lines = ["| member | weight | normalised entropy alone |", "| --- | --- | --- |"]
    lines += [
        f"| {title} | {metrics[f'weight_{name}']:.2f} | {_figure(metrics, f'normalized_entropy_{name}')} |"
        for name, title in _MEMBERS.items()
        if f"weight_{name}" in metrics
    ]
    accepted = [str(trial["niche"]) for trial in record.trials if trial["accepted"]]
    if record.trials:
        lines += [
            "",
            f"{len(record.trials)} niches were tried with trees of their own; "
            + (
                f"kept for {', '.join(accepted)}."
                if accepted
                else "none was proved better than all together."
            ),
        ]
    return lines


def _slices(record: TrainingRecord) -> list[str]:
    told = [each for each in record.slices if each["normalized_entropy"] is not None]
    if not told:
        return []
    lines = [
        "## Where it is better and worse",
        "",
        "| part of the test | clicks | normalised entropy | predicted over real clicks |",
        "| --- | --- | --- | --- |",
    ]
    lines += [
        f"| {each['by']}: {each['value']} | {each['clicks']:,} | {each['normalized_entropy']:.4f} | "
        f"{each['predicted_actual_ratio']:.3f} |"
        for each in told
    ]
    return [*lines, ""]


def _figure(metrics: Mapping[str, float], name: str) -> str:
    value = metrics.get(name)
    return "not defined" if value is None else f"{value:.4g}"

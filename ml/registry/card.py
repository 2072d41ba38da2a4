"""The model card: what a version is, in words that need no glossary."""

from ml.registry.record import TrainingRecord


def model_card(record: TrainingRecord) -> str:
    """Markdown for MLflow's page of the run and of the version."""
    facts, metrics = record.facts, record.metrics
    period = (
        f"from {facts['window_start']} to {facts['window_end']}"
        if facts["window_start"]
        else "from an export without dates"
    )
    verdict = (
        "On rows it had never seen it predicts better than one average rate for everybody, and the "
        "difference is larger than chance between ads."
        if record.beats_constant
        else "**On rows it had never seen it is not reliably better than one average rate for everybody.** "
        "Treat its differences between ads as noise."
    )
    lines = [
        f"# {record.model_name}: click rate of ads",
        "",
        f"Predicts how many of a hundred impressions are clicked. Learnt {period}: "
        f"{int(facts['rows']):,} rows of {int(facts['ads']):,} ads with {int(facts['clicks']):,} clicks "
        f"out of {int(facts['impressions']):,} impressions (scope: {record.scope}).",
        "",
        "## How good it is",
        "",
        verdict,
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
        f"Each ad's own past rate, smoothed, reaches a normalised entropy of "
        f"{_figure(metrics, 'normalized_entropy_smoothed_average')}.",
        "",
        f"Data was parted {record.split}. The figures are those of the model trained without the test part; "
        f"what is registered is the same recipe ({int(metrics['trees'])} trees) refitted on all rows.",
        "",
        "## What it looks at",
        "",
        *(
            [
                f"- {name}: {share:.1%} of what it gained"
                for name, share in list(record.importances.items())[:10]
            ]
            or ["- nothing: no feature helped on the validation part, so it predicts the average"]
        ),
        "",
        "## What it cannot do",
        "",
        "- It knows creatives by their labels, not by their pictures.",
        "- An account, hook or niche it has not seen counts as unknown, which means close to the average.",
        "- It says what happened to be so in this period; drift_report watches whether it still is.",
        "",
        f"Features {facts['feature_set']}, code {facts['git_commit']}, "
        f"data {facts['data_fingerprint'][:12]}, started by {facts['trigger']}"
        f"{': ' + facts['reason'] if facts['reason'] else ''}.",
    ]
    return "\n".join(lines) + "\n"


def _figure(metrics: object, name: str) -> str:
    value = metrics.get(name) if hasattr(metrics, "get") else None
    return "not defined" if value is None else f"{value:.4g}"

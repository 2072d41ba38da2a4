"""What is written down about a training of the pipeline's model, and how MLflow keeps it."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml.features.pipeline import CATEGORIES, FEATURE_SET, PIPELINE_FEATURES
from ml.pipeline_value.model import PipelineModel
from ml.pipeline_value.training import PipelineTraining, judgement_plot
from ml.registry.packaging import environment, save_pyfunc
from ml.registry.registrable import ModelFamily

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PIPELINE_FAMILY = ModelFamily(
    kind="pipeline_value",
    dag_id="train_pipeline_value",
    description="How open deals end, when and for how much; see the card of each version.",
    data_name="deals of the CRM",
    data_source="nightshift://crm/deals",
)
_REQUIREMENTS = ("mlflow", "lightgbm", "numpy", "pandas")
_OUTPUTS = (
    "won_within_30_days",
    "won_within_60_days",
    "won_within_90_days",
    "won_ever",
    "amount_if_won",
    "expected_value",
    "days_to_close",
)


@dataclass(frozen=True)
class PipelineRecord:
    """A finished training of the pipeline's model, ready for `ml.registry.register`.

    Attributes:
        key: recognises the same training.
        model_name, scope: the registered model, and whose deals.
        training: what came out.
        metrics, params, facts, split, failed_gates: see `Registrable`.
    """

    key: str
    model_name: str
    scope: str
    training: PipelineTraining
    metrics: Mapping[str, float]
    params: Mapping[str, float | int | str]
    facts: Mapping[str, str]
    split: str
    failed_gates: tuple[str, ...]

    @property
    def family(self) -> ModelFamily:
        """What all versions have in common."""
        return PIPELINE_FAMILY

    def card(self) -> str:
        """The model card, Markdown."""
        return _card(self)

    def documents(self) -> dict[str, dict[str, object]]:
        """What is logged as JSON, by file name. Campaigns by id; nothing of a person."""
        campaigns = self.training.judgement.campaigns
        return {
            "features.json": {
                "features": [
                    {"name": each.name, "kind": each.kind, "meaning": each.meaning}
                    for each in PIPELINE_FEATURES
                ]
            },
            "importances.json": dict(self.training.model.importances()),
            "campaigns.json": {"campaigns": campaigns.round(4).to_dict("records")},
            "environment.json": dict(environment(_REQUIREMENTS)),
        }

    def figures(self) -> dict[str, Figure]:
        """What is logged as a picture, by file name."""
        return {"judgement.png": judgement_plot(self.training.judgement)}

    def write_model(self, folder: Path, model_id: str, run_id: str) -> None:
        """Write the model as an MLflow pyfunc into `folder`, which must not exist."""
        model = self.training.model
        with tempfile.TemporaryDirectory() as scratch:
            files = Path(scratch) / "pipeline_model"
            files.mkdir()
            model.save(files)
            save_pyfunc(
                files,
                folder,
                loader="ml.registry.pipeline_pyfunc",
                signature=_signature(model),
                example=self.training.example,
                requirements=_REQUIREMENTS,
                model_id=model_id,
                run_id=run_id,
            )


def record_pipeline_training(
    training: PipelineTraining,
    *,
    key: str,
    model: str,
    scope: str,
    settings: Mapping[str, float | int | str],
    data_fingerprint: str,
    trained_for: date,
    git_commit: str,
    trigger: str,
    reason: str,
) -> PipelineRecord:
    """Gather what `ml.registry.register` needs.

    Args:
        training: what came out.
        key: `training_key` of data and settings.
        model: name of the registered model.
        scope: whose deals.
        settings: of the training, flat.
        data_fingerprint: of what went in.
        trained_for: the day whose night this is.
        git_commit: the code that ran.
        trigger, reason: what started it, and why.
    """
    counts = {name: str(number) for name, number in training.counts.items()}
    facts = {
        "scope": scope,
        "feature_set": FEATURE_SET,
        "data_fingerprint": data_fingerprint,
        "window_start": training.window[0],
        "window_end": training.window[1],
        "rows": counts["deals"],
        **counts,
        "judged_at": str(training.judged_at)[:10],
        "git_commit": git_commit,
        "trained_for": trained_for.isoformat(),
        "trigger": trigger,
        "reason": reason,
        "beats_rules": str(training.beats_rules).lower(),
        "mode": "full",
        "gates": "; ".join(training.failed_gates) or "passed",
    }
    return PipelineRecord(
        key=key,
        model_name=model,
        scope=scope,
        training=training,
        metrics={**training.judgement.metrics, "rows": float(training.counts["deals"])},
        params=dict(settings),
        facts=facts,
        split=(
            f"by time: fitted to what was known on {facts['judged_at']}, judged by what came of "
            "the deals in the "
            f"{settings['horizon_days']} days after"
        ),
        failed_gates=training.failed_gates,
    )


def _signature(model: PipelineModel) -> Any:
    from mlflow.models.signature import ModelSignature
    from mlflow.types import ColSpec, Schema

    columns = [
        ColSpec("string" if name in CATEGORIES else "double", name, required=False)
        for name in model.feature_names
    ]
    return ModelSignature(
        inputs=Schema(columns), outputs=Schema([ColSpec("double", name) for name in _OUTPUTS])
    )


def _card(record: PipelineRecord) -> str:
    facts, metrics, settings = record.facts, record.metrics, record.params

    def per_cent(name: str) -> str:
        return "not defined" if name not in metrics else f"{metrics[name]:.1%}"

    verdict = (
        "It errs less than both rules people use today."
        if facts["beats_rules"] == "true"
        else "**It is no better than the rules people use today.**"
    )
    lines = [
        f"# {record.model_name}: what deals will bring",
        "",
        f"Tells of every open deal how likely it is to be won, when, and for how much. Learnt from "
        f"{int(facts['deals']):,} deals created from {facts['window_start']} to "
        f"{facts['window_end']}, of which "
        f"{int(facts['closed_deals']):,} had closed and {int(facts['won_deals']):,} were won. "
        "Open deals count as "
        "open for as long as they were, not as lost.",
        "",
        "## How good it is",
        "",
        f"The same recipe, fitted to what was known on {facts['judged_at']}, told what each "
        "campaign's deals of the "
        f"last {settings['window_days']} days would have brought {settings['horizon_days']} days "
        f"later. {verdict}",
        *(
            ["", "It does **not** pass its gates:", *[f"- {each}" for each in record.failed_gates]]
            if record.failed_gates
            else []
        ),
        "",
        f"| {metrics['campaigns']:.0f} campaigns with {settings['min_campaign_deals']} deals or "
        "more | this model | "
        "stage table | last month's rate |",
        "| --- | --- | --- | --- |",
        f"| mean absolute percentage error, all value | {per_cent('mape_campaign')} | "
        f"{per_cent('mape_stage_table')} | {per_cent('mape_last_month')} |",
        f"| absolute error over the value still to come | {per_cent('wape_open_model')} | "
        f"{per_cent('wape_open_stage_table')} | {per_cent('wape_open_last_month')} |",
        f"| the first, {metrics['campaigns_small']:.0f} campaigns with fewer deals | "
        f"{per_cent('mape_small_model')} | "
        f"{per_cent('mape_small_stage_table')} | {per_cent('mape_small_last_month')} |",
        "",
        "Luck alone, were its chances the true ones, would make an error of "
        f"{per_cent('mape_luck')}. It expected "
        f"{metrics.get('ratio_open', float('nan')):.2f} times what the open deals brought. "
        f"{per_cent('coverage')} of the campaigns came out within their "
        f"{settings['interval']:.0%} intervals; the "
        f"intervals of this version are {record.training.model.spread:.2f} times as wide as "
        "chance alone makes them.",
        "",
        "## What it looks at",
        "",
        *[f"- {name}: {share:.1%}" for name, share in list(record.training.model.importances().items())[:10]],
        "",
        "## What it cannot do",
        "",
        "- It counts deals that exist, not those that today's ads will still bring.",
        "- Effects of owners and ads are correlations: who gets which deals is not drawn by lot.",
        "- A deal that was won and is opened again counts as won until it closes anew.",
        "- Deals no trace leads from to an ad are forecast, and shown apart; they are no ad's return.",
        "",
        f"Features {facts['feature_set']}, code {facts['git_commit']}, data "
        f"{facts['data_fingerprint'][:12]}, started "
        f"by {facts['trigger']}{': ' + facts['reason'] if facts['reason'] else ''}.",
    ]
    return "\n".join(lines) + "\n"

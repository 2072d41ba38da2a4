"""What is written down about a training, and the key by which the same training is recognised."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from typing import TYPE_CHECKING

import pandas as pd

from ml.ctr import CtrModel, CtrTraining
from ml.ctr.bundle import check_parity, export_bundle
from ml.features import FeatureFrame
from ml.registry.card import model_card
from ml.registry.packaging import environment, package
from ml.registry.registrable import ModelFamily

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure


def training_key(
    *,
    model: str,
    fingerprint: str,
    feature_set: str,
    settings: Mapping[str, float | int | str],
    mode: str = "full",
    parent: int | None = None,
) -> str:
    """SHA-256 of everything that decides what a training yields: equal keys, equal models.

    >>> key = training_key(model="ctr", fingerprint="f", feature_set="ads-1", settings={"seed": 7})
    >>> len(key)
    64
    """
    identity = {
        "model": model,
        "fingerprint": fingerprint,
        "feature_set": feature_set,
        "settings": dict(settings),
        **({} if mode == "full" else {"mode": mode, "parent": parent}),
    }
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


CTR_FAMILY = ModelFamily(
    kind="ctr",
    dag_id="train_ctr_model",
    description="Click rate of ads; see the card of each version.",
    data_name="ads performance",
    data_source="nightshift://ads/performance_metric",
)


@dataclass(frozen=True)
class TrainingRecord:
    """A finished training, ready to be logged and registered.

    Attributes:
        key: `training_key` of it.
        model_name: the registered model it becomes a version of.
        scope: whose data: `all` or an account.
        model: what is registered.
        metrics: figures by name.
        params: settings by name.
        facts: short texts by name that become tags: windows, counts, fingerprint, commit, reason.
        importances: share of the gain by feature.
        split: how the data was parted.
        beats_constant: whether the model is worth more than the average.
        example: a few rows of features.
        plot: calibration on the test part.
        bundle: the model as ONNX, checked against it.
        failed_gates: a sentence for each gate it does not pass: then it does not become challenger.
        note: what people should know of it.
        slices, trials: figures by niche, placement and so on, and of the niches' own models; JSON ready.
    """

    key: str
    model_name: str
    scope: str
    model: CtrModel
    metrics: Mapping[str, float]
    params: Mapping[str, float | int | str]
    facts: Mapping[str, str]
    importances: Mapping[str, float]
    split: str
    beats_constant: bool
    example: pd.DataFrame
    plot: Figure
    bundle: bytes
    failed_gates: tuple[str, ...] = ()
    note: str = ""
    slices: tuple[Mapping[str, object], ...] = ()
    trials: tuple[Mapping[str, object], ...] = ()

    @property
    def family(self) -> ModelFamily:
        """What all click-rate models have in common."""
        return CTR_FAMILY

    def card(self) -> str:
        """The model card, Markdown."""
        return model_card(self)

    def documents(self) -> dict[str, dict[str, object]]:
        """What is logged as JSON, by file name."""
        return {
            "features.json": {"features": list(self.model.feature_names)},
            "importances.json": dict(self.importances),
            "slices.json": {"slices": list(self.slices), "niches": list(self.trials)},
            "environment.json": dict(environment()),
        }

    def figures(self) -> dict[str, Figure]:
        """What is logged as a picture, by file name."""
        return {"calibration.png": self.plot}

    def write_model(self, folder: Path, model_id: str, run_id: str) -> None:
        """Write the model as an MLflow pyfunc into `folder`, which must not exist."""
        package(self.model, self.bundle, self.example, folder, model_id, run_id)


def record_training(
    training: CtrTraining,
    features: FeatureFrame,
    *,
    key: str,
    model: str,
    scope: str,
    settings: Mapping[str, float | int | str],
    trained_for: date,
    git_commit: str,
    trigger: str,
    reason: str,
) -> TrainingRecord:
    """Gather what `ml.registry.register` needs.

    Args:
        training: what came out.
        features: what went in.
        key: `training_key` of the two.
        model: name of the registered model.
        scope: whose data.
        settings: of the training, flat.
        trained_for: the day whose night this is.
        git_commit: the code that ran.
        trigger, reason: what started it, and why.

    Raises:
        ParityFailed: the exported bundle does not predict what the model predicts.
    """
    bundle = export_bundle(training.model)
    parity = check_parity(training.model, bundle, features.X, seed=int(settings.get("seed", 0)))
    first, last = window(features)
    first = training.learnt_since or first
    facts = {
        "scope": scope,
        "feature_set": features.feature_set,
        "data_fingerprint": features.fingerprint(),
        "window_start": str(first or ""),
        "window_end": str(last or ""),
        "rows": str(len(features)),
        "clicks": str(int(features.clicks.sum())),
        "impressions": str(int(features.impressions.sum())),
        "ads": str(len(set(features.groups))),
        "git_commit": git_commit,
        "trained_for": trained_for.isoformat(),
        "trigger": trigger,
        "reason": reason,
        "beats_constant": str(training.beats_constant).lower(),
        "mode": training.mode,
        "parent_version": str(training.parent or ""),
        "members": ", ".join(
            f"{name} {weight:.2f}" for name, weight in training.model.weights.items() if weight
        ),
        "gates": "; ".join(training.failed_gates) or "passed",
        "note": training.note,
    }
    counts = {f"rows_{part}": float(rows) for part, rows in training.part_rows.items()}
    clicks = {f"clicks_{part}": float(number) for part, number in training.part_clicks.items()}
    return TrainingRecord(
        key=key,
        model_name=model,
        scope=scope,
        model=training.model,
        metrics={
            **training.metrics,
            **counts,
            **clicks,
            "rows": float(len(features)),
            "parity_max_abs": parity,
        },
        params={**settings, "mode": training.mode, "split": training.split.method},
        facts=facts,
        importances=training.model.importances(),
        split=training.split.description,
        beats_constant=training.beats_constant,
        example=features.X.head(5),
        plot=training.plot,
        bundle=bundle,
        failed_gates=training.failed_gates,
        note=training.note,
        slices=tuple(asdict(each) for each in training.slices),
        trials=tuple(asdict(each) for each in training.trials),
    )


def window(features: FeatureFrame) -> tuple[date | None, date | None]:
    """First and last day of the rows, None for both where they have none."""
    if features.dates is None or not len(features):
        return None, None
    return features.dates.min().astype(date), features.dates.max().astype(date)

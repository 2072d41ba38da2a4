"""One whole night, headless: load data where there are none, trigger the DAGs in order, say what they did.

Everything goes through Airflow's own API, as a person with a browser would do it.
"""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from include.config import thresholds
from include.db.ads import account_totals, simulated_world
from include.db.engine import make_engine
from include.errors import PermanentError, TransientError
from include.meta_ads.importer import account_id_of
from include.stack.airflow_api import AirflowApi, DagRun
from include.stack.lifecycle import Say, Stack
from include.stack.night_screen import NightScreen
from include.stack.programs import cluster
from include.stack.settings import REPOSITORY

DAGS = (
    "meta_insights_etl",
    "hubspot_etl",
    "mine_ad_features",
    "nightly_batch_api",
    "visual_analysis_gpu",
    "warm_caches",
    "train_ctr_model",
    "train_pipeline_value",
    "forecast_pipeline",
    "drift_report",
    "evaluate_experiment",
    "creative_effects",
    "weekly_learning_report",
    "housekeeping",
)
# Started by others' assets as soon as they are unpaused; here they are to work on the night's own day.
_UNPAUSED_LATE = {"mine_ad_features", "warm_caches", "forecast_pipeline", "creative_effects"}
RETRAIN = "train_ctr_model (retrain)"


class DataNotLoaded(PermanentError):
    """The simulator or the importer refused; what it said is in the message."""


class DagsNotReady(TransientError):
    """Airflow has not parsed the DAGs, or a DAG file does not import."""


class SandboxUnreachable(TransientError):
    """The vendor sandbox does not answer; its log is named."""


@dataclass(frozen=True)
class NightPlan:
    """What a night works on.

    Attributes:
        day: the day whose data come in.
        ads_export: an Ads Manager export to work on instead of the simulated platform.
        drift: whether the simulated world changes in its last week.
    """

    day: date
    ads_export: Path | None = None
    drift: bool = False

    @classmethod
    def make(cls, *, day: date | None, ads_export: Path | None, drift: bool) -> "NightPlan":
        """A plan with its gaps filled: the day defaults to yesterday in UTC.

        Raises:
            DataNotLoaded: the export is not a file, or drift is asked of a real export.
        """
        if ads_export and not ads_export.is_file():
            raise DataNotLoaded(f"ADS_EXPORT={ads_export}: there is no such file")
        if ads_export and drift:
            raise DataNotLoaded(
                "DRIFT plants a change in the simulated platform; with ADS_EXPORT there is none"
            )
        return cls(day or datetime.now(UTC).date() - timedelta(days=1), ads_export, drift)

    @property
    def account_name(self) -> str | None:
        """Name of the account an export is imported as."""
        return self.ads_export.stem if self.ads_export else None


@dataclass
class DagOutcome:
    """How one DAG ended and what its `report` task returned."""

    state: str = "waiting"
    seconds: float | None = None
    run_id: str = ""
    did: dict[str, Any] = field(default_factory=dict)


def run_night(stack: Stack, plan: NightPlan, say: Say, began: float) -> bool:
    """Run the night on a stack that is up and write `var/nightly/summary.json`.

    Args:
        began: `time.monotonic()` from when the night counts, the start of the stack included.

    Returns:
        Whether every run succeeded.

    Raises:
        DataNotLoaded, DagsNotReady, SandboxUnreachable, AirflowRefused, AirflowUnreachable.
    """
    started_at = datetime.now(UTC)
    imported = _load_data(stack, plan, say)
    scope = imported["account_id"] if imported else "all"
    slack_before = _slack_messages(stack)
    outcomes: dict[str, DagOutcome] = {dag_id: DagOutcome() for dag_id in DAGS}
    url, password = stack.settings.url("airflow"), stack.secrets["airflow_password"]
    with AirflowApi.connect(url, "admin", password) as airflow, NightScreen(outcomes, say) as screen:
        _wait_for_dags(airflow)
        for dag_id in DAGS:
            # Unpaused before the first trigger, so that the retrain that drift asks for can start by itself.
            if dag_id not in _UNPAUSED_LATE:
                airflow.unpause(dag_id)
        for dag_id in DAGS:
            if dag_id == "weekly_learning_report":
                _follow_retrain(airflow, outcomes, screen, started_at)
            airflow.unpause(dag_id)
            day = _training_day(plan, stack) if dag_id == "train_ctr_model" else plan.day
            conf = {"day": day.isoformat(), **({"scope": scope} if dag_id in _SCOPED else {})}
            _follow(airflow, airflow.trigger(dag_id, conf), dag_id, outcomes, screen)
    summary = _summary(plan, scope, started_at, time.monotonic() - began, outcomes, imported)
    summary["slack_messages"] = _slack_messages(stack) - slack_before
    path = stack.settings.var / "nightly" / "summary.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(summary, indent=2, default=str) + "\n")
    say(f"the night took {summary['seconds']:.0f} s; summary in {path}")
    return bool(summary["succeeded"])


def _training_day(plan: NightPlan, stack: Stack) -> date:
    """The champion of a changed platform was trained before the change, as one of last week's would be."""
    stored = simulated_world(make_engine(cluster(stack.settings, stack.secrets).dsn("nightshift")))
    if not plan.drift or not stored or not stored["drift"]:
        return plan.day
    return min(plan.day, date.fromisoformat(stored["drift"]["start"]) - timedelta(days=1))


# DAGs that work on one account or on all; the others always see everything.
_SCOPED = {"train_ctr_model", "drift_report", "weekly_learning_report"}


def _follow(
    airflow: AirflowApi, run: DagRun, name: str, outcomes: dict[str, DagOutcome], screen: NightScreen
) -> None:
    outcome = outcomes[name]
    outcome.run_id, outcome.state = run.run_id, run.state
    run = airflow.wait(
        run, thresholds().nightly.dag_timeout_s, lambda now, tasks: screen.progress(name, now, tasks)
    )
    outcome.state, outcome.seconds = run.state, run.seconds
    outcome.did = airflow.result(run, "report")
    screen.finished(name)


def _follow_retrain(
    airflow: AirflowApi, outcomes: dict[str, DagOutcome], screen: NightScreen, since: datetime
) -> None:
    """Wait for the training that the drift report started through its asset event, if it did."""
    if outcomes["drift_report"].did.get("decision") not in ("incremental", "update"):
        return
    # In the table it stands where it happens: before the weekly report.
    report = outcomes.pop("weekly_learning_report")
    outcomes |= {RETRAIN: DagOutcome(), "weekly_learning_report": report}
    deadline = time.monotonic() + thresholds().nightly.ready_timeout_s
    while time.monotonic() < deadline:
        fresh = [
            run
            for run in airflow.runs("train_ctr_model", run_type="asset_triggered")
            if run.start is None or run.start >= since
        ]
        if fresh:
            _follow(airflow, fresh[0], RETRAIN, outcomes, screen)
            return
        time.sleep(1.5)
    outcomes[RETRAIN].state = "never started"


def _wait_for_dags(airflow: AirflowApi) -> None:
    deadline = time.monotonic() + thresholds().nightly.ready_timeout_s
    while missing := sorted(set(DAGS) - airflow.dag_ids()):
        if time.monotonic() > deadline:
            broken = airflow.import_errors()
            raise DagsNotReady(
                f"Airflow does not know {', '.join(missing)}: "
                + ("; ".join(broken) or "see the dag-processor's log")
            )
        time.sleep(1)


def _load_data(stack: Stack, plan: NightPlan, say: Say) -> dict[str, Any] | None:
    """Load what is absent. Returns account and totals of an imported export, `None` for the simulator."""
    # The stack's own database, whatever connection the caller's environment names.
    engine = make_engine(cluster(stack.settings, stack.secrets).dsn("nightshift"))
    if plan.ads_export:
        say(f"importing {plan.ads_export}")
        _run_module(
            stack, "include.meta_ads.importer", str(plan.ads_export), "--account", str(plan.account_name)
        )
        (totals,) = account_totals(engine, account_id_of(str(plan.account_name)))
        counted = {name: getattr(totals, name) for name in ("account_id", "rows", "impressions", "clicks")}
        return {**counted, "spend": str(totals.spend), "file": plan.ads_export.name}
    stored = simulated_world(engine)
    if stored and plan.drift and not stored["drift"]:
        # It would rewrite days that the champion has learnt from: then nobody could tell what it has missed.
        raise DataNotLoaded(
            "the simulated platform is already loaded without a change, and its champion has learnt those "
            "days: run `make reset` first, which forgets everything in var/"
        )
    if stored:
        say("the simulated platform is already loaded")
        return None
    until = plan.day - timedelta(days=1)
    say(f"loading the simulated platform up to {until}")
    _run_module(
        stack,
        "include.simulator",
        "load",
        "--until",
        until.isoformat(),
        *(["--drift", "on"] if plan.drift else []),
    )
    return None


def _run_module(stack: Stack, module: str, *arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        env={**os.environ, **stack.environment},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise DataNotLoaded((done.stderr.strip() or done.stdout.strip() or f"{module} failed")[-4000:])


def _slack_messages(stack: Stack) -> int:
    try:
        response = httpx.get(
            stack.settings.url("sandbox") + "/control/state",
            headers={"Authorization": f"Bearer {stack.secrets['sandbox_key']}"},
            timeout=10,
        )
        response.raise_for_status()
    except httpx.HTTPError as error:
        raise SandboxUnreachable(
            f"the vendor sandbox does not tell its state ({error}): see {stack.settings.logs / 'sandbox.log'}"
        ) from error
    return sum(response.json()["slack"].values())


def _summary(
    plan: NightPlan,
    scope: str,
    started_at: datetime,
    seconds: float,
    outcomes: dict[str, DagOutcome],
    imported: dict[str, Any] | None,
) -> dict[str, Any]:
    trained = (
        outcomes[RETRAIN].did if outcomes.get(RETRAIN, DagOutcome()).did else outcomes["train_ctr_model"].did
    )
    batch, drift = outcomes["nightly_batch_api"].did, outcomes["drift_report"].did
    return {
        "day": plan.day.isoformat(),
        "scope": scope,
        "started_at": started_at.isoformat(timespec="seconds"),
        "seconds": round(seconds, 1),
        "succeeded": all(outcome.state == "success" for outcome in outcomes.values()),
        "dags": {
            name: {"state": o.state, "seconds": o.seconds, "run_id": o.run_id, "did": o.did}
            for name, o in outcomes.items()
        },
        "rows_trained": trained.get("rows"),
        "mae_pp": trained.get("mae_pp"),
        "model_name": trained.get("model_name"),
        "model_version": trained.get("model_version"),
        "model_alias": trained.get("alias"),
        "drift_severity": drift.get("severity"),
        "drift_decision": drift.get("decision"),
        "batch_requests_done": batch.get("succeeded"),
        "usd_spent": batch.get("paid_usd"),
        "usd_saved": batch.get("saved_usd"),
        "imported": imported,
    }

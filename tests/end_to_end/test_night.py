"""`make nightly`, as a person runs it: the real stack, the real DAGs, one whole night after another."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import yaml
from sqlalchemy import text

from include.config.load import DEFAULT_FILE
from include.db import make_engine
from include.stack.airflow_api import AirflowApi
from include.stack.night import DAGS
from include.stack.programs import cluster
from include.stack.settings import LOOPBACK, PORTS, REPOSITORY, StackSettings
from include.stack.supervision import leftovers, sweep

pytestmark = pytest.mark.timeout(900)

# Everything a night may write. Times of writing are left out: they say when, not what.
CONTENTS = {
    "accounts": "SELECT account_id, name, source FROM ads.account",
    "ads": "SELECT account_id, ad_id, campaign_id, creative_id FROM ads.ad",
    "performance": (
        "SELECT account_id, ad_id, metric_date, breakdown, impressions, clicks, spend, conversions, "
        "conversion_value, md5(raw_data::text) FROM ads.performance_metric"
    ),
    "requests": "SELECT request_key, state, answer::text, attempts FROM llm.llm_request",
    "batches": "SELECT run_date, chunk, state, vendor_batch_id, request_count FROM llm.llm_batch",
    "costs": "SELECT request_id, attempt, paid_usd, live_usd, booked_on FROM llm.llm_cost",
    "scores": "SELECT account_id, creative_id, prompt_version, model, score FROM llm.creative_score",
    "trainings": "SELECT training_key, model_name, model_version, scope, rows, alias FROM ml.training_run",
    "drift": "SELECT model_name, scope, report_date, severity, decision, summary FROM ml.drift_report",
    "messages": "SELECT message_key, channel, kind, state, slack_ts FROM alerts.slack_message",
}


class House:
    """A stack of this test's own, with a small simulated platform."""

    def __init__(self, folder):
        probes = [socket.socket() for _ in PORTS]
        for probe in probes:
            probe.bind((LOOPBACK, 0))
        ports = {
            variable: str(probe.getsockname()[1])
            for (variable, _), probe in zip(PORTS.values(), probes, strict=True)
        }
        for probe in probes:
            probe.close()
        values = yaml.safe_load(DEFAULT_FILE.read_text())
        values["simulator"].update(accounts=10, days=60)
        small = folder / "thresholds.yaml"
        small.write_text(yaml.safe_dump(values))
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AIRFLOW", "MLFLOW", "NIGHTSHIFT"))
        }
        self.environment = {
            **inherited,
            **ports,
            "NIGHTSHIFT_VAR": str(folder / "var"),
            "NIGHTSHIFT_THRESHOLDS": str(small),
        }
        self.settings = StackSettings.from_environment(self.environment)

    def stack(self, *command):
        return subprocess.run(
            [sys.executable, "-m", "include.stack", *command],
            env=self.environment,
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )

    @property
    def secrets(self):
        return json.loads((self.settings.var / "secrets.json").read_text())

    @property
    def summary(self):
        return json.loads((self.settings.var / "nightly" / "summary.json").read_text())

    def contents(self):
        engine = make_engine(cluster(self.settings, self.secrets).dsn("nightshift"))
        with engine.connect() as connection:
            return {
                name: sorted(str(row) for row in connection.execute(text(query)))
                for name, query in CONTENTS.items()
            }


@pytest.fixture(scope="module")
def house():
    # Not below pytest's folder: another run of pytest closes that to the user PostgreSQL runs as.
    with TemporaryDirectory(prefix="nightshift-night-", ignore_cleanup_errors=True) as folder:
        house = House(Path(folder))
        yield house
        house.stack("down")
        sweep(house.settings)


def assert_every_dag_succeeded(night, summary):
    assert night.returncode == 0, night.stdout[-4000:] + night.stderr[-4000:]
    assert set(DAGS) <= set(summary["dags"])
    assert {outcome["state"] for outcome in summary["dags"].values()} == {"success"}
    assert summary["succeeded"] is True


def test_a_night_on_the_simulated_platform_does_all_its_work(house):
    night = house.stack("nightly", "--keep", "--day", "2026-03-31")
    summary = house.summary
    assert_every_dag_succeeded(night, summary)
    assert summary["rows_trained"] > 1000
    assert 0 < summary["mae_pp"] < 2
    assert (summary["model_name"], summary["model_version"], summary["model_alias"]) == ("ctr", 1, "champion")
    assert summary["batch_requests_done"] > 0
    # Batches cost half of live calls, so what was saved is what was spent.
    assert Decimal(str(summary["usd_spent"])) == Decimal(str(summary["usd_saved"])) > 0
    assert summary["slack_messages"] >= 1
    assert house.secrets["airflow_password"] in night.stdout
    assert "make down" in night.stdout


def test_airflow_shows_no_import_error_and_every_dag_with_its_tags(house):
    with AirflowApi.connect(house.settings.url("airflow"), "admin", house.secrets["airflow_password"]) as api:
        assert api.import_errors() == []
        assert api.dag_ids() == {file.stem for file in (REPOSITORY / "dags").glob("*.py")}


def test_the_same_night_again_changes_nothing_though_a_task_is_killed_outright(house):
    before = house.contents()
    url = house.settings.url("airflow")
    with ThreadPoolExecutor(1) as beside:
        second = beside.submit(house.stack, "nightly", "--keep", "--day", "2026-03-31")
        with AirflowApi.connect(url, "admin", house.secrets["airflow_password"]) as api:
            run, process = running_task(api, "drift_report", "assess")
            os.kill(process, signal.SIGKILL)
            night = second.result()
            (killed,) = (task for task in api.tasks(run) if task["task_id"] == "assess")
    assert_every_dag_succeeded(night, house.summary)
    assert killed["try_number"] == 2
    after = house.contents()
    for name in CONTENTS:
        assert after[name] == before[name], name
    assert house.summary["slack_messages"] == 0


def test_a_night_on_a_real_export_equals_the_file(house, shared_data):
    export = shared_data / "meta_ads" / "KAG_conversion_data.csv"
    night = house.stack("nightly", "--keep", "--day", "2026-03-31", "--ads-export", str(export))
    summary = house.summary
    assert_every_dag_succeeded(night, summary)
    imported = summary["imported"]
    assert (imported["rows"], imported["impressions"], imported["clicks"]) == (1143, 213434828, 38165)
    assert Decimal(imported["spend"]) == Decimal("58705.23")
    assert summary["scope"] == imported["account_id"]
    assert summary["rows_trained"] > 500
    assert summary["drift_severity"] != "cannot_tell"


def running_task(api, dag_id, task_id):
    """The run of the night under way in which a task runs, and the task's process."""
    known = {run.run_id for run in api.runs(dag_id)}
    deadline = time.monotonic() + 500
    while time.monotonic() < deadline:
        for run in api.runs(dag_id):
            for task in [] if run.run_id in known else api.tasks(run):
                if task["task_id"] == task_id and task["state"] == "running" and task["pid"]:
                    return run, task["pid"]
        time.sleep(0.2)
    raise AssertionError(f"{task_id} never ran")


def test_afterwards_nothing_is_left_running(house):
    assert house.stack("down").returncode == 0
    assert leftovers(house.settings) == []

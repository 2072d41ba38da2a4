"""What follows from verdicts, and any registered model watched by its table."""

from collections.abc import Callable
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import text

from include.db import ml
from include.db.drift import retrain_requests
from ml.drift.reference import Reference
from ml.registry import connect, kept_reference, registered_models
from nightshift.watch_drift import ask_for_retrain, assess, models_to_watch, report, tasks_to_do

FIRST, DAYS = date(2026, 2, 2), 42
LAST = FIRST + timedelta(days=DAYS - 1)
LEARNT = LAST - timedelta(days=7)
MODEL = {
    "source": "table",
    "table": "ml.deal_answer",
    "day": "decided_on",
    "cluster": "owner",
    "inputs": ["size", "origin", "look"],
    "prediction": "answer",
    "outcome": "value",
    "niche": "origin",
    "scope": "account_id",
    "key": ["deal_id"],
    "loss": "squared_error",
    "judged_metric": "mean_squared_error",
}


def verdict(**changes):
    told = {
        "family": "ctr",
        "scope": "all",
        "day": "2026-03-31",
        "model_name": "ctr",
        "severity": "none",
        "decision": "no_action",
        "reason": "none calls for nothing",
        "drifted_columns": [],
        "html_uri": "",
        "summary": "quiet",
        "since": "2026-03-04",
        "incident": None,
        "tell": "",
    }
    return {**told, **changes}


@pytest.mark.parametrize(
    ("verdicts", "follows"),
    [
        ([{}], ["no_action"]),
        ([{"decision": "alert", "tell": "incident"}], ["alert"]),
        ([{"decision": "alert", "incident": "drift:ctr:all:2026-03-30"}], ["alert"]),
        ([{"decision": "update", "tell": "incident"}], ["alert", "retrain"]),
        ([{"decision": "incremental"}], ["retrain"]),
        ([{"tell": "recovery"}], ["alert"]),
        ([{}, {"tell": "incident"}], ["alert"]),
    ],
)
def test_verdicts_lead_to_their_tasks(verdicts, follows):
    assert tasks_to_do(verdict(**each) for each in verdicts) == follows


def test_a_request_carries_mode_reason_window_and_incident_and_is_noted(db):
    asked = verdict(severity="high", decision="update", incident="drift:ctr:all:2026-03-30")
    assert ask_for_retrain([verdict(), asked], engine=db) == {
        "scope": "all",
        "day": "2026-03-31",
        "mode": "update",
        "reason": "high drift on 2026-03-31",
        "severity": "high",
        "incident": "drift:ctr:all:2026-03-30",
        "window": {"since": "2026-03-04", "until": "2026-03-31"},
    }
    assert retrain_requests(db, "ctr", "all", date(2026, 3, 1)) == [date(2026, 3, 31)]
    with pytest.raises(LookupError):
        ask_for_retrain([verdict(), verdict(family="deal_value", decision="update")], engine=db)


def test_the_run_reports_its_worst_verdict():
    told = report([verdict(), verdict(model_name="deal_value", severity="high", summary="moved")])
    assert told["severity"] == "high"
    assert told["summary"] == "ctr: quiet deal_value: moved"


@pytest.fixture
def configured(reconfigured) -> Callable[..., None]:
    """Has the house watch a model by its table too."""

    def configure(**changes) -> None:
        told = {**MODEL, **changes}
        reconfigured(lambda values: values["drift"]["models"].update(deal_value=told))

    return configure


@pytest.fixture
def client(mlflow_uri):
    made = connect(mlflow_uri)
    for model in registered_models(made):
        made.delete_registered_model(model)
    return made


@pytest.fixture
def champion(client):
    """A model of somebody else's code: its version says what it learnt from, and how it was judged."""
    experiment = client.create_experiment(f"deal_value {np.random.default_rng().integers(10**9)}")
    run = client.create_run(experiment).info.run_id
    client.log_metric(run, "mean_squared_error", 100.0)
    client.create_registered_model("deal_value")
    tags = {"window_start": FIRST.isoformat(), "window_end": LEARNT.isoformat()}
    made = client.create_model_version("deal_value", source=f"runs:/{run}/model", run_id=run, tags=tags)
    client.set_registered_model_alias("deal_value", "champion", made.version)
    return made


@pytest.fixture
def deals(db):
    """Six weeks of answers and values, the last week changed by as much as a test says."""

    def fill(shift: float = 0.0, known: bool = True) -> None:
        random = np.random.default_rng(5)
        day = np.repeat(np.arange(DAYS), 60)
        origin = random.choice(["search", "social", "friend"], size=len(day))
        answer = random.normal(100, 20, size=len(day))
        late = day >= DAYS - 7
        value = answer + random.normal(0, 10, size=len(day)) + shift * late * (origin == "social")
        rows = pd.DataFrame(
            {
                "deal_id": [f"d{n}" for n in range(len(day))],
                "account_id": "act_1",
                "owner": [f"o{n}" for n in random.integers(0, 120, size=len(day))],
                "decided_on": [FIRST + timedelta(days=int(each)) for each in day],
                "size": random.lognormal(3, 1, size=len(day)),
                "origin": origin,
                "look": [list(each) for each in random.normal(size=(len(day), 6))],
                "answer": answer,
                "value": value if known else np.where(late, np.nan, value),
            }
        )
        rows = pd.concat([rows, rows.tail(3)])
        with db.begin() as connection:
            connection.execute(
                text("""
                    CREATE TABLE ml.deal_answer (
                        deal_id text, account_id text, owner text, decided_on date, size double precision,
                        origin text, look double precision[], answer double precision, value double precision)
                """)
            )
            connection.execute(
                text("""
                    INSERT INTO ml.deal_answer
                    VALUES (:deal_id, :account_id, :owner, :decided_on, :size, :origin, :look, :answer,
                            nullif(:value, 'nan'))
                """),
                rows.to_dict("records"),
            )

    return fill


def assessed(db, mlflow_uri, family="deal_value", day=LAST):
    watched = {"family": family, "scope": "all"}
    return assess(watched, day, engine=db, tracking_uri=mlflow_uri, public_url="http://mlflow.example")


def numbers_of(db):
    (kept,) = [each for each in ml.drift_reports(db) if each.model_name == "deal_value"]
    return kept.numbers


def test_every_configured_model_is_watched_the_ctr_model_first(configured):
    configured()
    assert [each["family"] for each in models_to_watch("all")] == ["ctr", "deal_value"]


def test_a_table_of_answers_is_judged_like_any_model(configured, champion, deals, db, client, mlflow_uri):
    configured()
    deals()
    told = assessed(db, mlflow_uri)
    assert (told["severity"], told["decision"]) == ("none", "no_action")
    numbers = numbers_of(db)
    assert numbers["performance"]["state"] == "measured"
    assert numbers["performance"]["metric"] == "mean squared error"
    assert numbers["performance"]["reference"] == 100
    assert numbers["notes"] == ["3 rows are there twice and count once."]
    kinds = {column["column"]: column["kind"] for column in numbers["columns"]}
    assert kinds["look"] == "embedding"
    assert {niche["niche"] for niche in numbers["niches"]} == {"search", "social", "friend"}
    # The reference is kept with the version and the same the next time.
    (kept,) = client.list_artifacts(champion.run_id, "drift_reference")
    assert kept.path.startswith(f"drift_reference/{FIRST}_{LEARNT}_")
    name = kept.path.removeprefix("drift_reference/").removesuffix(".npz")
    sample = Reference.load(kept_reference(client, champion.run_id, name)).sample
    # Owners are people: none of them is kept.
    assert set(sample) == {"size", "origin", "look", "answer", "value"}
    again = assessed(db, mlflow_uri)
    assert again == told
    assert numbers_of(db) == numbers


def test_a_model_that_fails_for_one_origin_is_told_and_nobody_is_asked_to_train_it(
    configured, champion, deals, db, mlflow_uri
):
    configured()
    deals(shift=40.0)
    told = assessed(db, mlflow_uri)
    assert told["severity"] in {"high", "critical"}
    assert told["decision"] == "alert"
    assert "no training of deal_value v1 can be asked for" in told["reason"]
    assert told["tell"] == "incident"
    assert numbers_of(db)["performance"]["worst_column"] == "origin"


def test_while_values_are_late_the_error_is_an_estimate(configured, champion, deals, db, mlflow_uri):
    configured()
    deals(known=False)
    told = assessed(db, mlflow_uri)
    performance = numbers_of(db)["performance"]
    assert performance["state"] == "estimated"
    assert performance["estimated"] == pytest.approx(100, rel=0.15)
    assert "an estimate, right only while the model is" in told["summary"]


def test_a_model_without_a_champion_cannot_be_told(configured, client, db, mlflow_uri):
    configured()
    told = assessed(db, mlflow_uri)
    assert told["severity"] == "cannot_tell"
    assert "model 'deal_value' has no champion yet; give a version the alias" in told["summary"]


def test_a_column_that_is_not_there_is_named(configured, champion, deals, db, mlflow_uri):
    configured(inputs=["size", "sise"])
    deals()
    told = assessed(db, mlflow_uri)
    assert told["severity"] == "cannot_tell"
    assert "sise" in told["summary"]
    assert "correct drift.models" in told["summary"]


def test_an_empty_week_cannot_be_told(configured, champion, deals, db, mlflow_uri):
    configured()
    deals()
    told = assessed(db, mlflow_uri, day=LAST + timedelta(days=20))
    # Sixty rows a day, and then none at all: that is no quiet week.
    assert told["severity"] == "critical"
    assert told["tell"] == "incident"
    assert "the current window has 0 rows" in told["summary"]
    assert "Unusually few rows: 0 a day" in told["summary"]


def test_another_column_to_watch_makes_another_reference(configured, champion, deals, db, client, mlflow_uri):
    configured()
    deals()
    assessed(db, mlflow_uri)
    configured(inputs=["size"])
    assessed(db, mlflow_uri)
    assert len(client.list_artifacts(champion.run_id, "drift_reference")) == 2
    assert "origin" not in {column["column"] for column in numbers_of(db)["columns"]}

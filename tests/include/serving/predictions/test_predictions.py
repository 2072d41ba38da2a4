"""Rates over HTTP: the champion's, swapped in seconds, whatever is away, and each mistake named."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from sqlalchemy import text

from include.db.ads import read_performance
from include.promotion import promote, roll_back
from include.serving.predictions.filling import read_past
from ml.ctr.bundle_runtime import Bundle
from ml.features import build_ad_features
from ml.features.mined_inputs import PREFIX
from ml.registry import fetch_bundle
from nightshift.mine_features import mine_share, shares_to_mine, with_mined
from tests.include.serving.conftest import FIRST
from tests.include.serving.predictions.conftest import ACCOUNT, DAY, told

ROW = {"hook_type": "curiosity_gap", "persona": "student", "format": "vertical_video"}


def logged(engine):
    with engine.connect() as connection:
        found = connection.execute(text("SELECT * FROM ml.prediction_log ORDER BY predicted_at")).mappings()
        return [dict(row) for row in found]


def test_the_champion_answers_what_its_bundle_says(service, platform, mlflow_uri, model_name):
    answer = told(service.predict(features=ROW))
    bundle = Bundle(fetch_bundle(mlflow_uri, f"models:/{model_name}/1"))
    seen = read_past(platform).filled(ROW, ACCOUNT, None, None)
    assert answer["ctr"] == pytest.approx(float(bundle.predict([seen])[0]), abs=1e-9)
    assert (answer["version"], answer["arm"], answer["source"]) == (1, "champion", "computed")


def test_an_ad_that_runs_is_answered_with_its_own_past(service, platform):
    with platform.connect() as connection:
        row = connection.execute(
            text("SELECT account_id, ad_id FROM ads.performance_metric ORDER BY impressions DESC LIMIT 1")
        ).one()
    known = told(service.predict(row.account_id, ad_id=row.ad_id))
    new = told(service.predict(row.account_id))
    assert known["ctr"] != new["ctr"]
    assert told(service.predict(row.account_id, ad_id="no such ad"))["ctr"] == new["ctr"]


def test_what_is_filled_in_is_what_training_would_have_seen(platform):
    """The newest day's rows, filled from what was known the evening before, against those of the training."""
    with platform.begin() as connection:
        connection.execute(text("CREATE TABLE kept AS SELECT * FROM ads.performance_metric"))
        connection.execute(text("DELETE FROM ads.performance_metric WHERE metric_date = :day"), {"day": DAY})
    past = read_past(platform)
    with platform.begin() as connection:
        connection.execute(
            text("INSERT INTO ads.performance_metric SELECT * FROM kept WHERE metric_date = :day"),
            {"day": DAY},
        )
    features = build_ad_features(read_performance(platform, "all", None, DAY))
    newest = np.flatnonzero(features.dates == np.datetime64(DAY))
    assert len(newest) > 20
    for place in newest:
        account_id, ad_id = features.groups[place].split("/")
        if (account_id, ad_id) not in past.ads:
            continue
        filled = past.filled({}, account_id, ad_id, DAY)
        for name in features.feature_names:
            seen, given = features.X[name].iloc[place], filled.get(name)
            if isinstance(seen, float):
                told_nothing = given is None and np.isnan(seen)
                assert told_nothing or given == pytest.approx(seen, rel=1e-4, nan_ok=True), name
            else:
                assert given == seen, name


def test_mined_features_are_filled_in_as_training_would_have_seen_them(platform):
    names = ("feed_share", "purchases_per_click")
    for share in shares_to_mine(platform):
        mine_share(share, engine=platform)
    columns = [PREFIX + name for name in names]
    with platform.begin() as connection:
        connection.execute(text("CREATE TABLE kept AS SELECT * FROM ads.performance_metric"))
        connection.execute(text("DELETE FROM ads.performance_metric WHERE metric_date = :day"), {"day": DAY})
    past = read_past(platform, ["niche", *columns])
    with platform.begin() as connection:
        connection.execute(
            text("INSERT INTO ads.performance_metric SELECT * FROM kept WHERE metric_date = :day"),
            {"day": DAY},
        )
    rows = with_mined(read_performance(platform, "all", None, DAY), names, engine=platform, scope="all")
    features = build_ad_features(rows)
    known = 0
    for place in np.flatnonzero(features.dates == np.datetime64(DAY)):
        filled = past.filled({}, *features.groups[place].split("/"), DAY)
        for column in columns:
            seen, given = features.X[column].iloc[place], filled.get(column)
            known += given is not None
            assert (given is None and np.isnan(seen)) or given == pytest.approx(seen, rel=1e-6), column
    assert known > 40
    assert not any(name.startswith(PREFIX) for ad in read_past(platform).ads.values() for name in ad)


def test_many_rows_answer_as_each_alone_in_their_order(service):
    hooks = ["curiosity_gap", "question", "statistic_hook"] * 40
    rows = [{"account_id": ACCOUNT, "features": {"hook_type": hook}} for hook in hooks]
    body = {"model": service.model, "rows": rows}
    many = told(service.client.post("/api/predictions/ctr/batch", json=body))["predictions"]
    alone = {hook: told(service.predict(features={"hook_type": hook}))["ctr"] for hook in set(hooks)}
    # A row alone and among others may differ in the last bit of float32.
    assert np.allclose([each["ctr"] for each in many], [alone[hook] for hook in hooks], atol=1e-7)


def test_a_budget_is_told_in_clicks(service, platform):
    with platform.connect() as connection:
        niche = connection.execute(
            text("SELECT niche FROM ads.account WHERE account_id = :id"), {"id": ACCOUNT}
        ).scalar_one()
        cpm = connection.execute(
            text(
                "SELECT 1000 * sum(spend) / sum(impressions) FROM ads.performance_metric "
                "JOIN ads.account USING (account_id) WHERE niche = :niche"
            ),
            {"niche": niche},
        ).scalar_one()
    answer = told(service.predict(features=ROW, daily_budget_usd=100))
    # What it costs is known from the last days; the simulated past lies before them.
    if answer["expected_clicks"] is not None:
        assert answer["expected_clicks"] == pytest.approx(100_000 / float(cpm) * answer["ctr"], rel=0.3)


def test_promotion_and_roll_back_under_traffic_fail_nobody_and_answer_from_no_third_version(
    service, platform, registered, model_name
):
    answers, stop = [], threading.Event()

    def ask():
        while not stop.is_set():
            response = service.predict(features=ROW)
            answers.append((response.status_code, response.json().get("version")))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    promote(platform, registered, model_name, 2, expected_champion=1, who="a test", why="better", evidence={})
    service.wait_for(lambda: told(service.predict(features=ROW))["version"] == 2)
    roll_back(platform, registered, model_name, who="a test", why="worse after all")
    service.wait_for(lambda: told(service.predict(features=ROW))["version"] == 1)
    stop.set()
    for thread in threads:
        thread.join()
    assert {status for status, _ in answers} == {200}
    assert {version for _, version in answers} == {1, 2}
    assert len(answers) > 50


def test_every_prediction_is_written_down_once(service, platform):
    ids = [told(service.predict(features=ROW))["id"] for _ in range(20)]
    service.wait_for(lambda: len(logged(platform)) >= 21)
    lines = {str(line["id"]): line for line in logged(platform)}
    assert set(ids) <= set(lines)
    line = lines[ids[0]]
    assert (line["model_version"], line["arm"], line["account_id"]) == (1, "champion", ACCOUNT)
    assert line["latency_us"] > 0


@pytest.mark.parametrize(
    ("row", "where", "says"),
    [
        ({"features": {"hook": "x"}}, "features.hook", "no such field"),
        ({"features": {"duration_s": "long"}}, "features.duration_s", "valid number"),
        ({"features": {"duration_s": 1e400}}, "features.duration_s", "finite"),
        ({"features": {"hook_type": "x" * 201}}, "features.hook_type", "at most 200"),
        ({"daily_budget_usd": 0}, "daily_budget_usd", "greater than 0"),
        ({"about_day": "yesterday"}, "about_day", "date"),
    ],
)
def test_each_mistake_is_named_with_its_place(service, row, where, says):
    if row == {"features": {"duration_s": 1e400}}:
        response = service.client.post(
            "/api/predictions/ctr",
            content=b'{"account_id": "a", "features": {"duration_s": 1e400}}',
            headers={"content-type": "application/json"},
        )
    else:
        response = service.predict(**row)
    assert response.status_code == 422
    problem = response.json()["error"]["problems"][0]
    assert problem["where"] == where
    assert says in problem["message"]


def test_a_key_of_one_account_gets_no_prediction_of_another(service):
    keyed = {"x-api-key": FIRST}
    body = {"model": service.model, "account_id": ACCOUNT}
    assert service.client.post("/api/predictions/ctr", json=body, headers=keyed).status_code == 200
    other = service.client.post(
        "/api/predictions/ctr", json={**body, "account_id": "act_other"}, headers=keyed
    )
    assert other.status_code == 403
    assert "act_other" not in other.text
    theirs = {"model": "ctr_act_other", "account_id": ACCOUNT}
    assert service.client.post("/api/predictions/ctr", json=theirs, headers=keyed).status_code == 403


def test_a_model_that_is_not_there_and_too_many_rows_are_refused(service):
    response = service.client.post(
        "/api/predictions/ctr", json={"account_id": ACCOUNT, "model": "ctr_nobody"}
    )
    assert response.status_code == 404
    assert "ask 'ctr'" in response.json()["error"]["message"]
    rows = [{"account_id": ACCOUNT}] * 1001
    many = service.client.post("/api/predictions/ctr/batch", json={"model": service.model, "rows": rows})
    assert many.status_code == 422
    assert "a call may have 1,000 rows" in many.json()["error"]["message"]


def test_figures_for_prometheus_need_no_key(service):
    service.predict(features=ROW)
    page = service.client.get("/metrics", headers={"x-api-key": ""}).text
    assert f'nightshift_model_version{{alias="champion",model="{service.model}"}} 1.0' in page
    assert f'nightshift_predictions_total{{model="{service.model}",source="computed"}}' in page

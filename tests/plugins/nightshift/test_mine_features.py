"""Mining in shares, the switch that tells the CTR model of mined features, and the words of a report."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine, text

from include.config import thresholds
from include.config.load import ConfigInvalid
from include.simulator import WorldConfig
from include.simulator.loading import load_world
from ml.features import build_ad_features
from ml.features.peeking import peeking_features
from nightshift.mine_features import mine_share, mining_report, shares_to_mine
from nightshift.train_model import read_rows, refuse_peeking

CONFIG = WorldConfig(accounts=3, days=20, start=date(2025, 3, 3), ads_per_account=6)
NAMES = ["feed_share", "frequency"]


def mine_all(db: Engine) -> int:
    return sum(mine_share(share, engine=db)["changed"] for share in shares_to_mine(db))


def tell_the_model(values: dict[str, Any]) -> None:
    values["ctr"]["mined_features"] = NAMES


def test_shares_are_as_large_as_configured_and_group_accounts_by_their_first_changed_day(
    db: Engine, reconfigured: Callable[[Any], None]
) -> None:
    reconfigured(lambda values: values["mined"].update(accounts_per_task=2, accounts_at_once=1))
    load_world(db, CONFIG)
    with db.begin() as connection:
        connection.execute(
            text("""
            DELETE FROM ads.performance_metric WHERE metric_date < '2025-03-10'
              AND account_id = (SELECT min(account_id) FROM ads.account)
            """)
        )
    shares = shares_to_mine(db)
    assert [len(share["accounts"]) for share in shares] == [2, 1]
    days = [day for share in shares for _, day in share["accounts"]]
    assert days == sorted(days)
    assert days[-1] == "2025-03-10"
    assert mine_all(db) > 0
    assert shares_to_mine(db) == []


def test_the_model_is_told_of_mined_features_only_where_the_configuration_names_them(
    db: Engine, reconfigured: Callable[[Any], None]
) -> None:
    load_world(db, CONFIG)
    mine_all(db)
    since = CONFIG.start + timedelta(days=10)
    plain = build_ad_features(read_rows(db, "all", since, CONFIG.until), since)
    assert plain.feature_set == "ads-1"
    reconfigured(tell_the_model)
    rows = read_rows(db, "all", since, CONFIG.until)
    told = build_ad_features(rows, since)
    assert set(told.feature_names) - set(plain.feature_names) == {"mined_feed_share", "mined_frequency"}
    assert np.isfinite(told.X["mined_frequency"]).mean() > 0.9
    assert len(told) == len(plain)
    refuse_peeking(rows, 1)
    # Yesterday's frequency is what the ads feature set knows of it already.
    both = told.X[["mined_frequency", "frequency_lag1"]].dropna()
    np.testing.assert_allclose(both["mined_frequency"], both["frequency_lag1"], rtol=1e-5)


def test_the_rows_own_description_among_the_features_is_found(
    db: Engine, reconfigured: Callable[[Any], None]
) -> None:
    load_world(db, CONFIG)
    mine_all(db)
    reconfigured(tell_the_model)
    rows = read_rows(db, "all", CONFIG.start, CONFIG.until)

    def told_too_soon(changed: Any) -> Any:
        features = build_ad_features(changed)
        ordered = changed[changed["impressions"] > 0].sort_values(["account_id", "ad_id", "metric_date"])
        features.X["mined_feed_share"] = ordered["mined_feed_share"].to_numpy()
        return features

    assert peeking_features(told_too_soon, rows, seed=1) == ["mined_feed_share"]


def test_a_name_that_is_no_feature_is_refused_when_the_configuration_is_read(
    reconfigured: Callable[[Any], None],
) -> None:
    reconfigured(lambda values: values["ctr"].update(mined_features=["feed_shared"]))
    with pytest.raises(ConfigInvalid, match="no mined feature 'feed_shared'"):
        thresholds()


def test_a_report_says_what_was_mined_and_what_was_judged() -> None:
    judged = {"judged": True, "told": ["ctr: None of 46 earns its place."]}
    shares = [{"accounts": 2, "rows": 1200, "changed": 7}, {"accounts": 1, "rows": 30, "changed": 0}]
    told = mining_report(shares, judged)
    assert (told["accounts"], told["rows"], told["changed"], told["judged"]) == (3, 1230, 7, True)
    assert told["summary"] == (
        "Mined 1,230 ad-days of 3 accounts, 7 of them new or different. ctr: None of 46 earns its place."
    )
    assert (
        mining_report([], {"judged": False, "told": []})["summary"] == "Nothing changed since the last run."
    )

"""Features of deals: what was known at a moment, right, and nothing of what came later."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from ml.features.pipeline import (
    NAMES,
    PIPELINE_FEATURES,
    Histories,
    deal_features,
    open_moments,
    prepare,
)
from ml.features.pipeline_attribution import attribute
from ml.features.pipeline_frames import CrmFrames, CrmInputInvalid, naive
from ml.features.pipeline_peeking import peeking_deal_features
from ml.pipeline_value.periods import person_periods
from tests.ml.crm_by_hand import crm, row
from tests.ml.crm_frames import simulated_crm

CUT = pd.Timestamp("2026-04-15")


def features_of(frames: CrmFrames, deal: str, moment: str) -> pd.Series:
    histories = prepare(frames)
    codes = histories.code(pd.Series([deal]))
    return deal_features(histories, codes, np.array([naive(moment)])).iloc[0]


def all_features(frames: CrmFrames, moment: np.datetime64) -> pd.DataFrame:
    histories = prepare(frames)
    return deal_features(histories, *open_moments(histories, moment))


def test_a_deals_path_becomes_age_stage_velocity_regressions_and_reopens() -> None:
    path = [
        ("2026-01-01", "first"),
        ("2026-01-05", "second"),
        ("2026-01-09", "third"),
        ("2026-01-11", "second"),
        ("2026-01-12", "lost"),
        ("2026-01-20", "third"),
        ("2026-01-30", "won"),
    ]
    amounts = {"d": [("2026-01-01", 100.0), ("2026-01-10", 50.0), ("2026-01-25", 900.0)]}
    frames = crm({"d": path}, amounts=amounts, owners={"d": "ann"})
    known = features_of(frames, "d", "2026-01-22")
    assert (known["stage_id"], known["stage_order"], known["stage_probability"]) == ("third", 1.0, 0.8)
    assert (known["age_days"], known["days_in_stage"]) == (21.0, 2.0)
    assert (known["regressions"], known["reopens"], known["stage_moves"]) == (1.0, 1.0, 6.0)
    assert known["velocity"] == pytest.approx(7 * 2 / 21)
    assert known["amount"] == 50.0
    assert known["amount_change"] == pytest.approx(np.log1p(50) - np.log1p(100))
    assert not features_of(frames, "d", "2026-01-15")["is_open"]


def test_a_moment_before_a_deal_or_an_unknown_deal_is_refused() -> None:
    frames = crm({"c": [("2026-01-01", "first")], "d": [("2026-01-05", "first")]})
    with pytest.raises(CrmInputInvalid, match=r"deal d is asked for .* before it was created"):
        features_of(frames, "d", "2026-01-04")
    with pytest.raises(CrmInputInvalid, match="there is no deal x"):
        features_of(frames, "x", "2026-01-04")


def test_a_deal_whose_creation_was_dated_back_begins_with_its_history() -> None:
    frames = crm({"c": [("2026-01-01", "first")], "d": [("2026-01-05", "first"), ("2026-01-08", "second")]})
    dated = frames.deals.assign(created_at=pd.Timestamp("2025-12-01"))
    back = CrmFrames.checked(**{**vars(frames), "deals": dated})
    histories = prepare(back)
    codes, _ = open_moments(histories, naive("2026-01-03"))
    assert histories.deals["deal_id"].iloc[codes].tolist() == ["c"]
    assert features_of(back, "d", "2026-01-06")["age_days"] == 1.0
    person_periods(histories, naive("2026-02-01"), naive("2025-01-01"), seed=1)


def test_an_owners_effect_counts_only_deals_that_had_closed_and_is_pulled_towards_none() -> None:
    deals = {f"w{n}": [("2026-01-01", "first"), (f"2026-01-{n + 2:02}", "won")] for n in range(10)}
    deals |= {f"l{n}": [("2026-01-01", "first"), (f"2026-01-{n + 2:02}", "lost")] for n in range(10)}
    deals |= {"a": [("2026-01-01", "first")], "b": [("2026-01-01", "first")]}
    owners = {deal: "ann" if deal[0] in "wa" else "bob" for deal in deals}
    frames = crm(deals, owners=owners)
    histories = prepare(frames)
    codes = histories.code(pd.Series(["a", "b", "a"]))
    moments = np.array([naive("2026-02-01"), naive("2026-02-01"), naive("2026-01-01T12:00")])
    ann, bob, early = deal_features(histories, codes, moments)["owner_effect"]
    assert ann == pytest.approx(-bob, abs=0.02)
    assert 0 < ann < 0.5
    assert early == 0.0


def test_no_feature_of_a_deal_knows_what_came_after_its_moment() -> None:
    assert peeking_deal_features(all_features, simulated_crm(), CUT, seed=1) == []


def leaking(name: str, leak: Callable[[Histories], pd.Series]) -> Callable[..., pd.DataFrame]:
    def build(frames: CrmFrames, moment: np.datetime64) -> pd.DataFrame:
        histories = prepare(frames)
        codes, moments = open_moments(histories, moment)
        return deal_features(histories, codes, moments).assign(**{name: leak(histories).to_numpy()[codes]})

    return build


@pytest.mark.parametrize(
    ("name", "column"),
    [("log_amount", "amount"), ("stage_order", "display_order"), ("deal_type", "lost_reason")],
)
def test_a_planted_leak_of_final_amount_later_stage_or_reason_is_caught(name: str, column: str) -> None:
    build = leaking(name, lambda histories: histories.frames.state()[column])
    assert peeking_deal_features(build, simulated_crm(), CUT, seed=1) == [name]


def test_a_crm_without_a_deal_is_empty_and_no_error() -> None:
    frames = simulated_crm().known(pd.Timestamp("2020-01-01"))
    assert CrmFrames.checked(**{**vars(frames), "deals": frames.deals.iloc[:0]}).state().empty


def test_features_told_later_of_the_same_moment_are_the_same() -> None:
    frames = simulated_crm()
    then, now = (all_features(known, naive(CUT)) for known in (frames.known(CUT), frames))
    pd.testing.assert_frame_equal(then[list(NAMES)], now[list(NAMES)])


def test_every_feature_has_a_meaning_and_the_kind_it_says() -> None:
    made = all_features(simulated_crm(), naive(CUT))
    for feature in PIPELINE_FEATURES:
        assert feature.meaning
        assert (made[feature.name].dtype == "float64") == (feature.kind == "number"), feature.name


def test_click_id_then_utm_then_first_touch_lead_to_the_ad_and_the_rest_stays_apart() -> None:
    born = [("2026-01-01", "first")]
    contacts = {
        "clicked": {"click_id": "k1", "utm_content": "a3", "utm_campaign": "c2"},
        "unknown click": {"click_id": "k9", "utm_content": "a3"},
        "campaign": {"utm_campaign": "c2"},
        "named": {"utm_campaign": "Campaign one", "first_detail": "Same name"},
        "named like two": {"utm_campaign": "Same name"},
        "touched": {"first_detail": "Campaign one"},
        "ambiguous": {"first_detail": "Same name"},
        "nothing": {},
        "no such ad": {"utm_content": "a99"},
    }
    made = attribute(crm(dict.fromkeys(contacts, born), contacts=contacts, clicks={"k1": "a2"}))
    assert row(made, deal_id="clicked")[["matched_by", "ad_id", "campaign_id", "hook_type"]].tolist() == [
        "click", "a2", "c1", "statistic_hook",
    ]  # fmt: skip
    assert row(made, deal_id="unknown click")[["matched_by", "ad_id"]].tolist() == ["utm_ad", "a3"]
    assert row(made, deal_id="campaign")[["matched_by", "campaign_id", "ad_id"]].tolist() == [
        "utm_campaign", "c2", None,
    ]  # fmt: skip
    assert row(made, deal_id="touched")[["matched_by", "campaign_id"]].tolist() == ["first_touch", "c1"]
    assert row(made, deal_id="named")[["matched_by", "campaign_id"]].tolist() == ["utm_campaign", "c1"]
    for deal in ("ambiguous", "named like two", "nothing", "no such ad"):
        assert row(made, deal_id=deal)[["matched_by", "campaign_id"]].tolist() == ["unattributed", None]


def test_a_click_id_that_names_two_ads_names_none() -> None:
    frames = crm({"d": [("2026-01-01", "first")]}, contacts={"d": {"click_id": "k"}})
    twice = pd.DataFrame({"account_id": "act", "ad_id": ["a1", "a2"], "click_id": "k"})
    frames = CrmFrames(**{**vars(frames), "conversions": twice})
    assert attribute(frames)["matched_by"].tolist() == ["unattributed"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: {"deals": pd.concat([f.deals, f.deals])}, "deal d is there twice"),
        (lambda f: {"stage_events": f.stage_events.iloc[:0]}, "no pipeline or no stage event"),
        (lambda f: {"amount_events": f.amount_events.assign(amount=-1.0)}, "deal d has a negative amount"),
        (lambda f: {"deals": f.deals.drop(columns="pipeline_id")}, "deals has no column pipeline_id"),
        (lambda f: {"stage_events": f.stage_events.assign(entered_at="soon")}, "has no time in entered_at"),
    ],
)
def test_rows_that_cannot_be_right_are_refused_in_a_sentence(
    change: Callable[[CrmFrames], dict[str, pd.DataFrame]], said: str
) -> None:
    frames = crm({"d": [("2026-01-01", "first")]}, amounts={"d": [("2026-01-01", 5.0)]})
    with pytest.raises(CrmInputInvalid, match=said):
        CrmFrames.checked(**{**vars(frames), **change(frames)})

"""What `mine_ad_features` does, in functions of plain values: mine what changed, judge weekly, report."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pandas import DataFrame
    from sqlalchemy import Engine

    from include.config.ctr import CtrThresholds
    from include.config.mined import JudgingThresholds
    from ml.features.mined_forgetting import JudgingSettings

TARGETS = ("ctr", "conversion")


def shares_to_mine(engine: Engine) -> list[dict[str, Any]]:
    """Accounts with rows that changed since they were mined, in one share per task.

    Returns:
        Shares of accounts (id and first changed day) and seen_until, with days and times as text. Accounts
        with the same first day stand together: one that is new makes no others start from the beginning.
    """
    from include.config import thresholds
    from include.db.mined import accounts_to_mine, now_seen
    from ml.features.mined_definitions import RECIPE

    seen_until = now_seen(engine).isoformat()
    found = sorted(accounts_to_mine(engine, RECIPE), key=lambda account: (account.since, account.account_id))
    size = thresholds().mined.accounts_per_task
    return [
        {
            "accounts": [[each.account_id, each.since.isoformat()] for each in found[begin : begin + size]],
            "seen_until": seen_until,
        }
        for begin in range(0, len(found), size)
    ]


def mine_share(share: dict[str, Any], *, engine: Engine) -> dict[str, int]:
    """Mine some accounts from their first changed day on, few at a time, and store what came out.

    Returns:
        accounts, rows (ad-days mined), changed (of them new or different).

    Raises:
        RawDataUnreadable, RawDataUnusable: `raw_data` holds what cannot be right; the message names it.
    """
    from include.config import thresholds
    from include.db.mined import read_raw, store_mined
    from include.meta_ads.rows import PURCHASE_TYPES
    from ml.features.mined import AD_DAYS_BEFORE, CELL_DAYS_BEFORE, mine
    from ml.features.mined_cells import BREAKDOWNS
    from ml.features.mined_definitions import RECIPE

    size = thresholds().mined.accounts_at_once
    seen_until = datetime.fromisoformat(share["seen_until"])
    done = {"accounts": 0, "rows": 0, "changed": 0}
    for begin in range(0, len(share["accounts"]), size):
        some = share["accounts"][begin : begin + size]
        ids = [account_id for account_id, _ in some]
        since = min(date.fromisoformat(day) for _, day in some)
        raw = read_raw(
            engine,
            ids,
            since=since - timedelta(days=AD_DAYS_BEFORE),
            cells_since=since - timedelta(days=CELL_DAYS_BEFORE),
            breakdowns=BREAKDOWNS,
            purchase_types=PURCHASE_TYPES,
        )
        mined = mine(raw.ad_days, raw.cells, since)
        changed = store_mined(engine, mined, ids, RECIPE, seen_until)
        done["accounts"] += len(ids)
        done["rows"] += len(mined)
        done["changed"] += changed
    return done


def judge(day: date, *, engine: Engine, always: bool = False) -> dict[str, Any]:
    """Say which mined features earn their place, where the last report is a week old.

    Args:
        day: the last day of the rows that are looked at.
        always: also where a report is newer.

    Returns:
        judged (whether it was due), and a sentence for each target, or why there is none.

    Raises:
        LeakageFound: a mined feature knows what had not happened yet.
    """
    from include.config import thresholds
    from include.db.mined_reports import KeptFeatureReport, last_judged, record_feature_report
    from ml.ctr import TrainingDataInsufficient
    from ml.features import build_ad_features
    from ml.features.mined_formulas import SETTLED_DAYS
    from ml.features.mined_judging import as_numbers, judge_features, purchases_frame

    limits = thresholds()
    every = limits.mined.judging.every_days
    last = last_judged(engine, day)
    if last is not None and (day - last).days < every and not always:
        return {
            "judged": False,
            "told": [f"features were judged on {last}; again from {last + timedelta(days=every)}"],
        }
    since = day - timedelta(days=limits.mined.judging.window_days - 1)
    rows = _rows_with_everything(engine, since, day)
    if rows.empty:
        return {"judged": False, "told": ["no account that an API feeds has rows: nothing to judge"]}
    _refuse_peeking(rows, limits.mined.judging.seed)
    settings = judging_settings(limits.mined.judging, limits.ctr)
    told = []
    for target in TARGETS:
        try:
            frame = build_ad_features(rows, since)
            if target == "conversion":
                # The newest purchases have not arrived yet: they would look as if nobody bought.
                settled = rows[rows["metric_date"].dt.date <= day - timedelta(days=SETTLED_DAYS)]
                frame = purchases_frame(build_ad_features(settled, since), settled)
            report = judge_features(frame, settings, target)
        except TrainingDataInsufficient as error:
            told.append(f"{target}: not judged, {error}")
            continue
        numbers = as_numbers(report)
        record_feature_report(engine, KeptFeatureReport(day, target, report.summary, numbers))
        told.append(f"{target}: {report.summary}")
    return {"judged": True, "told": told}


def mining_report(mined: Iterable[dict[str, int]], judged: dict[str, Any]) -> dict[str, Any]:
    """What the run came to."""
    shares = list(mined)
    sums = {name: sum(share[name] for share in shares) for name in ("accounts", "rows", "changed")}
    did = (
        f"Mined {sums['rows']:,} ad-days of {sums['accounts']:,} accounts, {sums['changed']:,} of them new "
        "or different."
        if shares
        else "Nothing changed since the last run."
    )
    return {**sums, "judged": judged["judged"], "summary": " ".join([did, *judged["told"]])}


def with_mined(rows: DataFrame, names: Sequence[str], *, engine: Engine, scope: str) -> DataFrame:
    """Performance rows with mined features of their own day, as `mined_<name>`.

    Args:
        rows: as `read_performance` gives them.
        names: which; without any, the rows are as they were.
        scope: `all`, or an account.
    """
    from include.db.mined import read_mined
    from ml.features.mined_inputs import PREFIX

    days = rows["metric_date"].dropna()
    if not names or days.empty:
        return rows
    mined = read_mined(engine, names, scope, days.min().date(), days.max().date())
    mined = mined.rename(columns={name: PREFIX + name for name in names})
    return rows.merge(mined, on=["account_id", "ad_id", "metric_date"], how="left")


def judging_settings(values: JudgingThresholds, ctr: CtrThresholds) -> JudgingSettings:
    """Settings from the thresholds; trees are those of the CTR model.

    Bolder trees were tried: at twice the learning rate half the time, and the fatigue that the simulated
    world has was not proved any more.
    """
    from ml.ctr import LightgbmSettings
    from ml.features.mined_forgetting import JudgingSettings

    own = values.model_dump(exclude={"every_days", "window_days"})
    return JudgingSettings(**own, trees=LightgbmSettings(**ctr.lightgbm.model_dump()))


def _rows_with_everything(engine: Engine, since: date, day: date) -> DataFrame:
    from include.db.ads import read_performance
    from ml.features.ads import LAG_DAYS
    from ml.features.mined_definitions import MINED_NAMES

    rows = read_performance(engine, "all", since - timedelta(days=LAG_DAYS), day)
    return with_mined(rows, MINED_NAMES, engine=engine, scope="all")


def _refuse_peeking(rows: DataFrame, seed: int) -> None:
    from nightshift.train_model import refuse_peeking

    refuse_peeking(rows, seed)

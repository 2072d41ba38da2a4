"""Windows with known truth: days of ads whose clicks follow a rate that a model knows, or has known."""

from datetime import date

import numpy as np
import pandas as pd

from ml.drift.windows import WatchedColumn, Window

COLUMNS = (
    WatchedColumn("hook", importance=0.6),
    WatchedColumn("budget", importance=0.3),
    WatchedColumn("length", importance=0.1),
    WatchedColumn("predicted", "prediction"),
    WatchedColumn("ctr", "outcome"),
)
EFFECT = {"question": -0.5, "promise": 0.0, "story": 0.5}
START = date(2026, 3, 2)  # a Monday


def ad_days(
    ads=80,
    days=7,
    *,
    seed=0,
    start=START,
    effect=EFFECT,
    times=1.0,
    hooks=(0.4, 0.3, 0.3),
    budget=100.0,
    impressions=3000,
    label=None,
):
    """A window of `ads * days` rows; the model believes in `EFFECT`, the world in `effect` and `times`."""
    random = np.random.default_rng(seed)
    hook = random.choice(list(EFFECT), size=ads, p=hooks)
    ad = np.repeat(np.arange(ads), days)
    rows = pd.DataFrame(
        {
            "hook": hook[ad],
            "budget": np.repeat(random.lognormal(np.log(budget), 0.5, size=ads), days),
            "length": random.integers(5, 60, size=ads)[ad],
        }
    )
    base = np.log(0.02 / 0.98)
    own = random.normal(0, 0.1, size=ads)[ad]
    predicted = _rate(base + rows["hook"].map(EFFECT).to_numpy("float64"))
    truth = np.minimum(0.5, times * _rate(base + rows["hook"].map(effect).to_numpy("float64") + own))
    shown = random.integers(impressions // 2, impressions * 2, size=len(rows))
    clicks = random.binomial(shown, truth)
    rows["predicted"], rows["ctr"] = predicted, clicks / shown
    day = np.datetime64(start, "D") + np.tile(np.arange(days), ads)
    return Window(
        label=label or f"{day.min()} to {day.max()}",
        rows=rows,
        clusters=np.array([f"{seed}/{each}" for each in ad], dtype=object),
        days=day,
        predicted=predicted,
        observed=clicks.astype("float64"),
        exposure=shown.astype("float64"),
        niches=np.where(ad % 2 == 0, "beauty", "fitness").astype(object),
    )


def _rate(log_odds):
    return 1 / (1 + np.exp(-log_odds))

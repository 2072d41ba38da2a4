"""Queries about experiments: their states, what was seen of them, and the outcomes of their predictions.

States: `running` is the only one that is not an end. The database lets one run per model.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class AbTest:
    """One experiment, as `ml.ab_test` keeps it.

    Attributes:
        unit: what is assigned to an arm, `account` or `request`.
        settings: those in force at its start, as JSON.
        first_day: the first whole day that counts.
        state: `running`, or how it ended.
    """

    id: int
    model_name: str
    champion_version: int
    challenger_version: int
    unit: str
    salt: str
    settings: dict[str, Any]
    smallest_effect: str
    started_by: str
    started_at: datetime
    first_day: date
    state: str
    reason: str
    ended_at: datetime | None


@dataclass(frozen=True)
class Look:
    """What was seen of an experiment on a day."""

    day: date
    decision: str
    paragraph: str
    numbers: dict[str, float]


_COLUMNS = """id, model_name, champion_version, challenger_version, unit, salt, settings, smallest_effect,
    started_by, started_at, first_day, state, reason, ended_at"""


def open_experiment(
    engine: Engine,
    *,
    model_name: str,
    champion_version: int,
    challenger_version: int,
    unit: str,
    salt: str,
    settings: dict[str, Any],
    smallest_effect: str,
    started_by: str,
    first_day: date,
) -> AbTest | None:
    """Start an experiment; None where the model has one that runs."""
    query = text(f"""
        INSERT INTO ml.ab_test (model_name, champion_version, challenger_version, unit, salt, settings,
                                smallest_effect, started_by, first_day)
        VALUES (:model_name, :champion_version, :challenger_version, :unit, :salt, CAST(:settings AS jsonb),
                :smallest_effect, :started_by, :first_day)
        RETURNING {_COLUMNS}
    """)  # noqa: S608 - a constant
    values = {
        "model_name": model_name,
        "champion_version": champion_version,
        "challenger_version": challenger_version,
        "unit": unit,
        "salt": salt,
        "settings": json.dumps(settings),
        "smallest_effect": smallest_effect,
        "started_by": started_by,
        "first_day": first_day,
    }
    try:
        with engine.begin() as connection:
            return AbTest(**connection.execute(query, values).mappings().one())
    except IntegrityError as error:
        if "ab_test_one_running" in str(error):
            return None
        raise


def end_experiment(engine: Engine, test_id: int, *, state: str, reason: str) -> bool:
    """End an experiment that runs; False where it had ended already."""
    query = text("""
        UPDATE ml.ab_test SET state = :state, reason = :reason, ended_at = now()
        WHERE id = :id AND state = 'running'
    """)
    with engine.begin() as connection:
        return connection.execute(query, {"id": test_id, "state": state, "reason": reason}).rowcount == 1


def running_experiments(engine: Engine) -> list[AbTest]:
    """Experiments that run, in the order of models."""
    return _tests(engine, "WHERE state = 'running' ORDER BY model_name")


def experiments_of(engine: Engine, model_name: str | None = None, limit: int = 100) -> list[AbTest]:
    """Experiments of a model, or of all, newest first."""
    return _tests(
        engine,
        "WHERE CAST(:model AS text) IS NULL OR model_name = :model ORDER BY id DESC LIMIT :limit",
        model=model_name,
        limit=limit,
    )


def unasked_promotions(engine: Engine) -> list[AbTest]:
    """Experiments won in the last week for which nobody was asked yet: whoever ended them may be dead."""
    return _tests(
        engine,
        """
        WHERE state = 'promote' AND ended_at > now() - interval '7 days'
          AND NOT EXISTS (SELECT FROM ml.promotion p
                          WHERE p.model_name = ml.ab_test.model_name
                            AND p.candidate_version = challenger_version AND p.created_at >= ended_at)
        ORDER BY id
        """,
    )


def lately_moved(engine: Engine) -> list[AbTest]:
    """Experiments that began or ended in the last two days, oldest first, for whoever did not tell yet."""
    return _tests(
        engine,
        """
        WHERE GREATEST(started_at, COALESCE(ended_at, started_at)) > now() - interval '2 days' ORDER BY id
        """,
    )


def experiment_by_id(engine: Engine, test_id: int) -> AbTest | None:
    """One experiment; None where there is none of that id."""
    found = _tests(engine, "WHERE id = :id", id=test_id)
    return found[0] if found else None


def keep_look(engine: Engine, test_id: int, look: Look) -> None:
    """Keep what was seen on a day. Looking at the day again replaces it."""
    query = text("""
        INSERT INTO ml.ab_test_look AS stored (ab_test_id, day, decision, paragraph, numbers)
        VALUES (:id, :day, :decision, :paragraph, CAST(:numbers AS jsonb))
        ON CONFLICT (ab_test_id, day) DO UPDATE
        SET decision = EXCLUDED.decision, paragraph = EXCLUDED.paragraph, numbers = EXCLUDED.numbers,
            looked_at = now()
        WHERE (stored.decision, stored.paragraph, stored.numbers)
              IS DISTINCT FROM (EXCLUDED.decision, EXCLUDED.paragraph, EXCLUDED.numbers)
    """)
    with engine.begin() as connection:
        values = {**vars(look), "numbers": json.dumps(look.numbers, allow_nan=False), "id": test_id}
        connection.execute(query, values)


def looks_at(engine: Engine, test_id: int) -> list[Look]:
    """What was seen of an experiment, oldest first."""
    query = text("""
        SELECT day, decision, paragraph, numbers FROM ml.ab_test_look WHERE ab_test_id = :id ORDER BY day
    """)
    with engine.connect() as connection:
        return [Look(**row) for row in connection.execute(query, {"id": test_id}).mappings()]


def last_look(engine: Engine, test_id: int) -> Look | None:
    """What was seen last of an experiment; None where nobody has looked yet."""
    looks = looks_at(engine, test_id)
    return looks[-1] if looks else None


def traffic_a_day(engine: Engine, model_name: str, since: date) -> tuple[float, float]:
    """Impressions a day, and clicks per impression, of what was predicted and happened since then.

    Where nothing has been predicted yet, of all accounts that an API feeds.
    """
    query = text("""
        WITH happened AS (
            SELECT m.metric_date, m.impressions, m.clicks
            FROM ads.performance_metric m JOIN ads.account a USING (account_id)
            WHERE m.metric_date >= :since AND m.breakdown = '' AND a.source <> 'export'
              AND (NOT EXISTS (SELECT FROM ml.prediction_log WHERE model_name = :model)
                   OR EXISTS (SELECT FROM ml.prediction_log p
                              WHERE p.model_name = :model AND p.account_id = m.account_id))
        )
        SELECT COALESCE(sum(impressions)::float8 / NULLIF(count(DISTINCT metric_date), 0), 0),
               COALESCE(sum(clicks)::float8 / NULLIF(sum(impressions), 0), 0)
        FROM happened
    """)
    with engine.connect() as connection:
        impressions, rate = connection.execute(query, {"model": model_name, "since": since}).one()
        return float(impressions), float(rate)


def outcomes(engine: Engine, test: AbTest, until: date) -> pd.DataFrame:
    """What an experiment's predictions were followed by, one row a unit, ad and day.

    The first prediction that a unit got for an ad and a day counts: later ones are asked again. What was
    asked after the day was over knew the outcome, and does not count.

    Returns:
        unit_key, arm, ad (account and ad), about_day, rate, other_rate (NaN where the other arm's version did
        not answer), latency_us, clicks, impressions.
    """
    import pandas as pd

    query = text("""
        WITH first_asked AS (
            SELECT DISTINCT ON (unit_key, account_id, ad_id, about_day)
                   unit_key, arm, account_id, ad_id, about_day, rate, other_rate, latency_us
            FROM ml.prediction_log
            WHERE ab_test_id = :id AND ad_id IS NOT NULL AND about_day BETWEEN :first_day AND :until
              AND predicted_at < about_day + interval '1 day'
            ORDER BY unit_key, account_id, ad_id, about_day, predicted_at, id
        )
        SELECT unit_key, arm, account_id || '/' || ad_id AS ad, about_day, rate, other_rate, latency_us,
               LEAST(m.clicks, m.impressions)::float8 AS clicks, m.impressions::float8 AS impressions
        FROM first_asked
        JOIN ads.performance_metric m USING (account_id, ad_id)
        WHERE m.metric_date = about_day AND m.breakdown = '' AND m.impressions > 0
    """)
    values = {"id": test.id, "first_day": test.first_day, "until": until}
    with engine.connect() as connection:
        result = connection.execute(query, values)
        frame = pd.DataFrame(result.fetchall(), columns=list(result.keys()))
    frame["other_rate"] = frame["other_rate"].astype(float)
    return frame


def assigned_units(engine: Engine, test: AbTest) -> dict[str, int]:
    """Arm -> how many units were given to it, whatever became of them."""
    query = text("""
        SELECT arm, count(DISTINCT unit_key) AS units FROM ml.prediction_log
        WHERE ab_test_id = :id GROUP BY arm
    """)
    with engine.connect() as connection:
        return {row["arm"]: row["units"] for row in connection.execute(query, {"id": test.id}).mappings()}


def past_losses(engine: Engine, accounts: list[str], since: date, until: date) -> dict[str, float]:
    """Account -> log loss per impression of its own average before the experiment, for fewer surprises in it.

    How hard an account is to predict hardly changes; knowing it from before takes that part out of the noise.
    """
    query = text("""
        WITH rates AS (
            SELECT account_id, sum(clicks)::float8 / sum(impressions) AS rate
            FROM ads.performance_metric
            WHERE account_id = ANY(:accounts) AND metric_date BETWEEN :since AND :until AND breakdown = ''
            GROUP BY account_id HAVING sum(impressions) > 0 AND sum(clicks) BETWEEN 1 AND sum(impressions) - 1
        )
        SELECT account_id, -(rate * ln(rate) + (1 - rate) * ln(1 - rate)) AS loss FROM rates
    """)
    with engine.connect() as connection:
        found = connection.execute(query, {"accounts": accounts, "since": since, "until": until}).mappings()
        return {row["account_id"]: row["loss"] for row in found}


def _tests(engine: Engine, which: str, **values: Any) -> list[AbTest]:
    query = text(f"SELECT {_COLUMNS} FROM ml.ab_test {which}")  # noqa: S608 - constants of this module
    with engine.connect() as connection:
        return [AbTest(**row) for row in connection.execute(query, values).mappings()]

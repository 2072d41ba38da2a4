"""What a week brought, read from all contexts of the database: trainings, drift, money, ads, creatives.

Read only. The result travels from the task that gathers to the task that posts, so it is small and plain.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Connection, Engine, text

from include.config import thresholds
from include.db.ads import SCOPE_ALL

_TRAININGS_TOLD = 5
_DAYS = 7


class Fact(BaseModel):
    """Base of all facts: immutable, and the same after a trip through JSON."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())


class Training(Fact):
    """One version that was trained, and the version of the same model before it."""

    model_name: str
    version: int
    scope: str
    alias: str | None
    trained_for: date
    trigger: str
    rows: int
    mae_pp: float | None
    normalized_entropy: float | None
    previous_version: int | None
    previous_mae_pp: float | None
    previous_normalized_entropy: float | None


class DriftVerdict(Fact):
    """What one drift report came to."""

    day: date
    scope: str
    severity: str
    decision: str
    summary: str


class DayOfMoney(Fact):
    """What one day's questions to language models cost, in dollars."""

    day: date
    requests: int
    paid_usd: float
    saved_usd: float


class CacheWeek(Fact):
    """How the semantic cache answered, and what that saved.

    Attributes:
        checked, wrong: semantic hits whose question was put to the model all the same, and how many of their
            answers were wrong.
    """

    exact_hits: int
    semantic_hits: int
    misses: int
    checked: int
    wrong: int
    avg_similarity: float | None
    saved_usd: float
    saved_seconds: float

    @property
    def lookups(self) -> int:
        """Questions it was asked."""
        return self.exact_hits + self.semantic_hits + self.misses


class AdTotals(Fact):
    """What ads did, and in the week before.

    Attributes:
        spend: per currency.
        dated: false for exports without dates, whose totals are of all they hold.
    """

    ads: int
    impressions: int
    clicks: int
    spend: dict[str, float]
    dated: bool
    impressions_before: int = 0
    clicks_before: int = 0


class ScoredCreative(Fact):
    """A creative that was scored, and what was said of it."""

    creative_id: str
    account: str
    hook_type: str | None
    score: float
    critique: str


class Hook(Fact):
    """How ads with one type of hook did."""

    hook_type: str
    impressions: int
    clicks: int


class AdType(Fact):
    """How deals of ads with one attribute go."""

    kind: str
    value: str
    deals: int
    shrunk_rate: float
    median_days: float | None


class PipelineWeek(Fact):
    """What the week's newest forecast says of traced deals, in dollars; the best and the fastest hook."""

    open_deals: int
    won_value: float
    expected_value: float
    spend: float
    best: AdType | None
    fastest: AdType | None


class WeeklyFacts(Fact):
    """A week, from `since` to `until` inclusive, of one account or of all."""

    scope: str
    since: date
    until: date
    trainings: tuple[Training, ...]
    more_trainings: int
    drift: tuple[DriftVerdict, ...]
    money: tuple[DayOfMoney, ...]
    cache: CacheWeek | None
    ads: AdTotals | None
    best: tuple[ScoredCreative, ...]
    worst: tuple[ScoredCreative, ...]
    hooks: tuple[Hook, ...]
    pipeline: PipelineWeek | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing at all happened."""
        return not (self.trainings or self.drift or self.money or self.cache or self.ads or self.best)


def gather_week(engine: Engine, day: date, scope: str = SCOPE_ALL) -> WeeklyFacts:
    """The facts of the seven days that end on `day`.

    Args:
        scope: an account's id, or `all`: every training, verdict and cost, and the ads of accounts that an
            API feeds.
    """
    limits = thresholds().alerts
    shown, since = limits.reported_creatives, day - timedelta(days=_DAYS - 1)
    values: dict[str, Any] = {
        "scope": None if scope == SCOPE_ALL else scope,
        "since": since,
        "until": day,
        "before": since - timedelta(days=_DAYS),
        "shown": shown,
        "min_clicks": limits.hook_min_clicks,
    }
    with engine.connect() as connection:
        trainings = [Training(**row) for row in _rows(connection, _TRAININGS, values)]
        scored = [ScoredCreative(**row) for row in _rows(connection, _SCORED, values)]
        return WeeklyFacts(
            scope=scope,
            since=since,
            until=day,
            trainings=tuple(trainings[:_TRAININGS_TOLD]),
            more_trainings=max(0, len(trainings) - _TRAININGS_TOLD),
            drift=tuple(DriftVerdict(**row) for row in _rows(connection, _DRIFT, values)),
            money=tuple(DayOfMoney(**row) for row in _rows(connection, _MONEY, values)),
            cache=_cache_week(connection, values),
            ads=_ad_totals(connection, values),
            best=tuple(scored[:shown]),
            # Where few were scored, the worst are among the best already told.
            worst=tuple(scored[max(shown, len(scored) - shown) :][::-1]),
            hooks=tuple(Hook(**row) for row in _rows(connection, _HOOKS, values)),
            pipeline=_pipeline_week(connection, values),
        )


def _cache_week(connection: Connection, values: dict[str, Any]) -> CacheWeek | None:
    (row,) = _rows(connection, _CACHE, values)
    week = CacheWeek(**row)
    return week if week.lookups else None


def _pipeline_week(connection: Connection, values: dict[str, Any]) -> PipelineWeek | None:
    """Of all accounts, as deals are forecast; None for one account, and where nothing was forecast."""
    rows = _rows(connection, _PIPELINE, values)
    if values["scope"] or not rows:
        return None
    told = rows[0].pop("ad_types") or []
    hooks = [AdType(**one) for one in told if one["kind"] == "hook_type" and not one["few"]]
    timed = [hook for hook in hooks if hook.median_days is not None]
    return PipelineWeek(
        **rows[0],
        best=max(hooks, key=lambda hook: hook.shrunk_rate, default=None),
        fastest=min(timed, key=lambda hook: hook.median_days or 0.0, default=None),
    )


def _ad_totals(connection: Connection, values: dict[str, Any]) -> AdTotals | None:
    dated, dateless = (
        [row for row in _rows(connection, _ADS, values) if row["dated"] is which] for which in (True, False)
    )
    # An export without dates belongs to no week; asked for by name it is told of as a whole.
    rows = dated or (dateless if values["scope"] else [])
    if not sum(row["impressions"] for row in rows):
        return None
    return AdTotals(
        ads=sum(row["ads"] for row in rows),
        impressions=sum(row["impressions"] for row in rows),
        clicks=sum(row["clicks"] for row in rows),
        spend={row["currency"]: float(row["spend"]) for row in rows if row["spend"]},
        dated=bool(dated),
        impressions_before=sum(row["impressions_before"] for row in rows),
        clicks_before=sum(row["clicks_before"] for row in rows),
    )


def _rows(connection: Connection, query: str, values: dict[str, Any]) -> list[dict[str, Any]]:
    return [dict(row) for row in connection.execute(text(query), values).mappings()]


_TRAININGS = """
    SELECT run.model_name, run.model_version AS version, run.scope, run.alias, run.trained_for, run.trigger,
           run.rows,
           (run.metrics ->> 'mae_pp')::float AS mae_pp,
           (run.metrics ->> 'normalized_entropy')::float AS normalized_entropy,
           previous.model_version AS previous_version,
           (previous.metrics ->> 'mae_pp')::float AS previous_mae_pp,
           (previous.metrics ->> 'normalized_entropy')::float AS previous_normalized_entropy
    FROM ml.training_run AS run
    LEFT JOIN LATERAL (
        SELECT model_version, metrics FROM ml.training_run AS earlier
        WHERE earlier.model_name = run.model_name AND earlier.model_version < run.model_version
        ORDER BY earlier.model_version DESC LIMIT 1
    ) AS previous ON true
    WHERE run.trained_for BETWEEN :since AND :until AND (CAST(:scope AS text) IS NULL OR run.scope = :scope)
    ORDER BY run.scope <> 'all', run.trained_at DESC, run.model_version DESC
"""

_DRIFT = """
    SELECT report_date AS day, scope, severity, decision, summary
    FROM ml.drift_report
    WHERE report_date BETWEEN :since AND :until AND (CAST(:scope AS text) IS NULL OR scope = :scope)
    ORDER BY array_position(ARRAY['critical', 'high', 'medium', 'low', 'cannot_tell', 'none'], severity),
             report_date DESC
    LIMIT 50
"""

_MONEY = """
    SELECT booked_on AS day, sum(requests)::bigint AS requests, sum(paid_usd)::float AS paid_usd,
           sum(saved_usd)::float AS saved_usd
    FROM llm.llm_cost_per_day
    WHERE booked_on BETWEEN :since AND :until AND (CAST(:scope AS text) IS NULL OR tenant = :scope)
    GROUP BY booked_on ORDER BY booked_on
"""

# Whose cache a shared answer came from is nobody's: an account's own report counts its own lookups alone.
_CACHE = """
    SELECT coalesce(sum(exact_hits), 0)::bigint AS exact_hits,
           coalesce(sum(semantic_hits), 0)::bigint AS semantic_hits,
           coalesce(sum(misses), 0)::bigint AS misses, coalesce(sum(checked), 0)::bigint AS checked,
           coalesce(sum(wrong), 0)::bigint AS wrong,
           (sum(avg_similarity * semantic_hits) / nullif(sum(semantic_hits), 0))::float AS avg_similarity,
           coalesce(sum(saved_usd), 0)::float AS saved_usd,
           coalesce(sum(saved_seconds), 0)::float AS saved_seconds
    FROM llm.cache_per_day
    WHERE day BETWEEN :since AND :until AND (CAST(:scope AS text) IS NULL OR tenant = :scope)
"""

_ADS = """
    SELECT metric_date IS NOT NULL AS dated, currency,
           count(DISTINCT (account_id, ad_id)) FILTER (WHERE in_week) AS ads,
           coalesce(sum(impressions) FILTER (WHERE in_week), 0)::bigint AS impressions,
           coalesce(sum(clicks) FILTER (WHERE in_week), 0)::bigint AS clicks,
           coalesce(sum(spend) FILTER (WHERE in_week), 0) AS spend,
           coalesce(sum(impressions) FILTER (WHERE NOT in_week), 0)::bigint AS impressions_before,
           coalesce(sum(clicks) FILTER (WHERE NOT in_week), 0)::bigint AS clicks_before
    FROM (
        SELECT metric.*, account.currency,
               metric.metric_date IS NULL OR metric.metric_date >= CAST(:since AS date) AS in_week
        FROM ads.performance_metric AS metric JOIN ads.account USING (account_id)
        WHERE metric.breakdown = ''
          AND (metric.metric_date BETWEEN :before AND :until OR metric.metric_date IS NULL)
          AND CASE WHEN CAST(:scope AS text) IS NULL THEN account.source IN ('sandbox', 'meta')
                   ELSE account_id = :scope END
    ) AS told
    GROUP BY 1, 2 ORDER BY 1, 2
"""

_SCORED = """
    WITH scored AS (
        SELECT score.creative_id, coalesce(account.name, score.account_id) AS account, creative.hook_type,
               score.score::float AS score, score.critique,
               row_number() OVER (ORDER BY score.score DESC, score.account_id, score.creative_id) AS from_top,
               row_number() OVER (ORDER BY score.score, score.account_id DESC, score.creative_id DESC)
                   AS from_bottom
        FROM llm.creative_score AS score
        JOIN llm.llm_request AS request USING (request_id)
        LEFT JOIN llm.llm_batch AS batch USING (batch_id)
        JOIN ads.creative AS creative USING (account_id, creative_id)
        LEFT JOIN ads.account AS account USING (account_id)
        WHERE coalesce(batch.run_date, request.queued_on) BETWEEN :since AND :until
          AND (CAST(:scope AS text) IS NULL OR score.account_id = :scope)
    )
    SELECT creative_id, account, hook_type, score, left(critique, 160) AS critique FROM scored
    WHERE from_top <= :shown OR from_bottom <= :shown ORDER BY from_top
"""

_HOOKS = """
    SELECT creative.hook_type, sum(metric.impressions)::bigint AS impressions,
           sum(metric.clicks)::bigint AS clicks
    FROM ads.performance_metric AS metric
    JOIN ads.account USING (account_id)
    JOIN ads.ad USING (account_id, ad_id)
    JOIN ads.creative AS creative USING (account_id, creative_id)
    WHERE metric.breakdown = '' AND metric.metric_date BETWEEN :since AND :until
      AND creative.hook_type IS NOT NULL
      AND CASE WHEN CAST(:scope AS text) IS NULL THEN account.source IN ('sandbox', 'meta')
               ELSE account_id = :scope END
    GROUP BY creative.hook_type
    HAVING sum(metric.clicks) >= :min_clicks
    ORDER BY sum(metric.clicks)::float / sum(metric.impressions) DESC, creative.hook_type LIMIT :shown
"""

# Of deals that are traced to a campaign, as the page tells it: of others nobody knows whose spend it was.
_PIPELINE = """
    SELECT sum(forecast.open_deals)::int AS open_deals, sum(forecast.won_value)::float8 AS won_value,
           sum(forecast.expected_value)::float8 AS expected_value, sum(forecast.spend)::float8 AS spend,
           report.told -> 'ad_types' AS ad_types
    FROM ml.pipeline_report AS report
    JOIN ml.pipeline_forecast AS forecast USING (forecast_day)
    WHERE forecast.level = 'campaign' AND forecast.account_id <> '' AND report.forecast_day = (
        SELECT max(forecast_day) FROM ml.pipeline_report WHERE forecast_day BETWEEN :since AND :until)
    GROUP BY report.forecast_day
"""

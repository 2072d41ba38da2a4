"""The weekly report says what the database holds, and says so honestly when it holds nothing."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest
from sqlalchemy import Engine, text

from include.alerts.message import SlackMessage
from include.alerts.weekly import weekly_key, weekly_message, weekly_summary
from include.alerts.weekly_chart import weekly_chart
from include.alerts.weekly_facts import WeeklyFacts, gather_week

SUNDAY = date(2025, 11, 23)

# A week of two accounts and the Sunday before it, small enough to add up by hand.
ROWS = """
    INSERT INTO ads.account (account_id, name, niche, source) VALUES
        ('a', 'Alpha & Co <Fit>', 'fitness', 'sandbox'), ('b', 'Beta', 'saas', 'sandbox'),
        ('x', 'Export', NULL, 'export');
    INSERT INTO ads.campaign (account_id, campaign_id, name) SELECT account_id, 'c', 'C' FROM ads.account;
    INSERT INTO ads.creative (account_id, creative_id, hook_type) VALUES
        ('a', 'cr1', 'question'), ('a', 'cr2', 'story_hook'), ('b', 'cr3', 'question');
    INSERT INTO ads.ad (account_id, ad_id, campaign_id, creative_id, name) VALUES
        ('a', 'ad1', 'c', 'cr1', 'A1'), ('a', 'ad2', 'c', 'cr2', 'A2'), ('b', 'ad3', 'c', 'cr3', 'B3'),
        ('x', 'ad4', 'c', NULL, 'X4');
    INSERT INTO ads.performance_metric
        (account_id, ad_id, metric_date, breakdown, impressions, clicks, spend, raw_data) VALUES
        ('a', 'ad1', '2025-11-23', '', 1000, 50, 10.50, '{}'),
        ('a', 'ad1', '2025-11-23', 'age=18-24', 400, 20, 4, '{}'),
        ('a', 'ad2', '2025-11-17', '', 1000, 40, 5.25, '{}'),
        ('b', 'ad3', '2025-11-20', '', 2000, 20, 4.25, '{}'),
        ('a', 'ad1', '2025-11-16', '', 2000, 20, 99, '{}'),
        ('a', 'ad1', '2025-11-24', '', 9999, 99, 99, '{}'),
        ('x', 'ad4', NULL, '', 500, 5, 7, '{}');
    INSERT INTO ml.training_run (training_key, model_name, model_version, scope, mlflow_run_id, trained_for,
                                 trigger, rows, metrics, alias) VALUES
        ('k1', 'ctr', 1, 'all', 'r1', '2025-11-10', 'manual', 900,
         '{"mae_pp": 0.5, "normalized_entropy": 0.95}', 'champion'),
        ('k2', 'ctr', 2, 'all', 'r2', '2025-11-23', 'drift', 1000,
         '{"mae_pp": 0.4, "normalized_entropy": 0.96}', 'challenger'),
        ('k3', 'ctr_x', 1, 'x', 'r3', '2025-11-22', 'manual', 500, '{"mae_pp": 0.1}', 'champion');
    INSERT INTO ml.drift_report (model_name, scope, report_date, model_version, reference, current, severity,
                                 decision, summary, numbers) VALUES
        ('ctr', 'all', '2025-11-22', 1, 'r', 'c', 'none', 'no_action', 'calm', '{}'),
        ('ctr', 'all', '2025-11-23', 1, 'r', 'c', 'high', 'update', '5 of 12 columns moved', '{}'),
        ('ctr', 'all', '2025-11-16', 1, 'r', 'c', 'critical', 'update', 'long ago', '{}');
    INSERT INTO llm.llm_request (request_key, purpose, tenant, provider, model, endpoint, prompt_version,
                                 params, state, queued_on)
        SELECT 'q' || n, 'creative_score', CASE WHEN n = 3 THEN 'b' ELSE 'a' END, 'anthropic', 'm',
               '/v1/messages', 'p', '{}', 'succeeded', '2025-11-21' FROM generate_series(1, 3) AS n;
    INSERT INTO llm.cache_namespace (tenant, task, prompt_version, model, embedder)
        VALUES ('a', 'creative_score', 'p', 'm', 'e');
    INSERT INTO llm.cache_lookup (looked_at, namespace_id, kind, similarity, saved_usd, saved_ms)
        SELECT '2025-11-20 12:00+00', namespace_id, kind, similarity, usd, ms
        FROM llm.cache_namespace, (VALUES ('exact', NULL, 0.25, 120000), ('semantic', 0.9, 0.25, 60000),
                                          ('miss', NULL, 0, 0), ('miss', NULL, 0, 0),
                                          ('checked_right', 0.9, 0, 0)) AS told (kind, similarity, usd, ms);
    INSERT INTO llm.llm_cost (cost_key, request_id, attempt, mode, tenant, purpose, provider, model,
                              input_tokens, output_tokens, paid_usd, live_usd, booked_on)
        SELECT 'r' || request_id, request_id, 1, 'batch', tenant, purpose, provider, model, 10, 10, 0.5, 1.0,
            '2025-11-21'
        FROM llm.llm_request;
    INSERT INTO llm.creative_score (account_id, creative_id, prompt_version, model, score, critique,
                                    request_id)
        SELECT account_id, creative_id, 'p', 'm', score, 'Strong <hook>', request_id
        FROM (VALUES ('a', 'cr1', 90, 'q1'), ('a', 'cr2', 20, 'q2'), ('b', 'cr3', 55, 'q3'))
             AS told (account_id, creative_id, score, request_key) JOIN llm.llm_request USING (request_key);
"""


@pytest.fixture
def week(db: Engine) -> Engine:
    with db.begin() as connection:
        connection.execute(text(ROWS))
    return db


def message(facts: WeeklyFacts) -> SlackMessage:
    return weekly_message(
        facts,
        run_url="http://127.0.0.1:8080/dags/weekly_learning_report/runs/r",
        model_url=lambda name, version: f"http://127.0.0.1:5055/#/models/{name}/versions/{version}",
    )


def shown(facts: WeeklyFacts) -> str:
    return json.dumps(message(facts).blocks, ensure_ascii=False)


def test_the_week_is_the_seven_days_up_to_the_day_and_each_thing_is_counted_once(week: Engine) -> None:
    facts = gather_week(week, SUNDAY)

    assert [(model.model_name, model.version) for model in facts.trainings] == [
        ("ctr", 2),
        ("ctr_x", 1),
    ]
    assert [verdict.severity for verdict in facts.drift] == ["high", "none"]
    assert [(day.requests, day.paid_usd, day.saved_usd) for day in facts.money] == [(3, 1.5, 1.5)]
    assert facts.ads is not None
    assert (facts.ads.impressions, facts.ads.clicks, facts.ads.ads) == (4000, 110, 3)
    assert facts.ads.spend == {"USD": 20.0}
    assert (facts.ads.impressions_before, facts.ads.clicks_before) == (2000, 20)
    assert [(hook.hook_type, hook.clicks) for hook in facts.hooks] == [("story_hook", 40), ("question", 70)]
    assert [creative.creative_id for creative in facts.best] == ["cr1", "cr3", "cr2"]
    assert facts.worst == ()


def test_the_message_compares_names_the_money_and_links(week: Engine) -> None:
    facts = gather_week(week, SUNDAY)

    for part in (
        "What Nightshift learnt in the week to 23 November",
        "Mon 17 Nov to Sun 23 Nov 2025, all accounts",
        "MAE 0.400 pp (v1 on its own held-out days: 0.500 pp)",
        "normalised entropy 0.9600 (v1 on its own held-out days: 0.9500)",
        "(challenger)",
        "MAE 0.100 pp (the first version)",
        "2 reports: 1 x high, 1 x no drift",
        "5 of 12 columns moved -> a new model was asked for",
        "3 answers for $1.50; batches saved $1.50 (50% of the live price)",
        "cache: 20% exact and 40% semantic hits of 5 questions; saved $0.5000 and 3 minutes of waiting",
        "0 of 1 checked semantic hits were wrong",
        "CTR 2.75%, spend 20.00 USD, 3 ads; the week before: CTR 1.00%, impressions +100% since",
        "Alpha &amp; Co &lt;Fit&gt;",
        "http://127.0.0.1:5055/#/models/ctr/versions/2",
        "http://127.0.0.1:8080/dags/weekly_learning_report/runs/r",
    ):
        assert part in shown(facts), part
    assert weekly_summary(facts) == (
        "Week to 2025-11-23: 2 model versions trained, high drift at worst, "
        "$1.50 spent and $1.50 saved on language models."
    )
    assert "long ago" not in shown(facts)


FORECAST = """
    INSERT INTO ml.pipeline_report (forecast_day, model_name, model_version, told) VALUES
        ('2025-11-22', 'pipeline_value', 1, '{"ad_types": [
            {"kind": "hook_type", "value": "question", "deals": 200, "shrunk_rate": 0.31, "median_days": 20.4,
             "few": false},
            {"kind": "hook_type", "value": "story_hook", "deals": 90, "shrunk_rate": 0.22, "median_days": 9.8,
             "few": false},
            {"kind": "hook_type", "value": "negative_hook", "deals": 3, "shrunk_rate": 0.9, "median_days": 1,
             "few": true},
            {"kind": "format", "value": "image", "deals": 90, "shrunk_rate": 0.8, "median_days": 1,
             "few": false}]}'),
        ('2025-11-24', 'pipeline_value', 1, '{}');
    INSERT INTO ml.pipeline_forecast (forecast_day, level, account_id, campaign_id, deals, open_deals,
        won_deals, won_value, expected_value, value_low, value_high, crm_value, spend, model_name,
        model_version) VALUES
        ('2025-11-22', 'campaign', 'a', 'c', 9, 4, 2, 3000, 900, 0, 0, 0, 1000, 'pipeline_value', 1),
        ('2025-11-22', 'campaign', '', '', 2, 1, 0, 0, 100, 0, 0, 0, 0, 'pipeline_value', 1),
        ('2025-11-22', 'ad', 'a', 'c', 9, 4, 2, 3000, 900, 0, 0, 0, 1000, 'pipeline_value', 1),
        ('2025-11-24', 'campaign', 'a', 'c', 9, 4, 2, 9999, 900, 0, 0, 0, 1000, 'pipeline_value', 1);
"""


def test_the_pipeline_is_told_by_the_weeks_newest_forecast(week: Engine) -> None:
    assert gather_week(week, SUNDAY).pipeline is None
    with week.begin() as connection:
        connection.execute(text(FORECAST.replace(": ", "\\: ")))
    told = shown(gather_week(week, SUNDAY))
    assert "traced to ads: $3,000 won and $900 expected from 4 open ones: 3.9 times the $1,000 spent" in told
    assert "won most often after hook `question`: 31% of 200 deals" in told
    assert "closed fastest after hook `story_hook`: half within 10 days" in told
    assert gather_week(week, SUNDAY, "a").pipeline is None


def test_one_account_is_told_of_alone_and_an_export_without_dates_as_a_whole(week: Engine) -> None:
    export, beta = gather_week(week, SUNDAY, "x"), gather_week(week, SUNDAY, "b")

    assert [training.model_name for training in export.trainings] == ["ctr_x"]
    assert export.ads is not None
    assert (export.ads.impressions, export.ads.dated) == (500, False)
    assert "all of an export without dates" in shown(export)
    assert [day.requests for day in beta.money] == [1]
    assert [creative.creative_id for creative in beta.best] == ["cr3"]


def test_facts_are_the_same_after_a_trip_through_json(week: Engine) -> None:
    facts = gather_week(week, SUNDAY)

    assert WeeklyFacts.model_validate(json.loads(json.dumps(facts.model_dump(mode="json")))) == facts


def test_a_week_with_nothing_says_so(db: Engine) -> None:
    facts = gather_week(db, SUNDAY)

    assert facts.is_empty
    assert message(facts).text == "Week to 2025-11-23: nothing was trained, checked, asked or delivered."
    assert "see in Airflow whether they are paused or failing" in shown(facts)
    assert weekly_chart(facts) is None


def test_the_chart_is_a_picture_of_the_week_and_the_same_each_time(week: Engine) -> None:
    facts = gather_week(week, SUNDAY)

    first, second = weekly_chart(facts), weekly_chart(facts)

    assert first is not None
    assert first == second
    assert first.content.startswith(b"\x89PNG")
    assert len(first.content) < 200_000
    assert "ctr v2 0.400" in first.alt_text


def test_a_full_week_stays_within_what_slack_takes(week: Engine, sandbox: Any) -> None:
    from include.alerts import SlackChannel, post_once

    with week.begin() as connection:
        connection.execute(
            text("""
            INSERT INTO ml.training_run (training_key, model_name, model_version, scope, mlflow_run_id,
                                         trained_for, trigger, rows, metrics, alias)
            SELECT 'n' || n, repeat('m', 100) || n, 1, 'all', 'r', '2025-11-20', 'manual', 10,
                   '{"mae_pp": 1}', 'x'
            FROM generate_series(1, 200) AS n;
            UPDATE ml.drift_report SET summary = repeat('<&>', 3000), decision = 'alert';
            UPDATE llm.creative_score SET critique = repeat('&', 4000);
        """)
        )
    facts = gather_week(week, SUNDAY)
    channel = SlackChannel("#nightshift-reports", sandbox.api_key, sandbox.slack_url)

    posting = post_once(week, channel, "k", message(facts), kind="weekly", picture=weekly_chart(facts))

    assert posting.posted
    assert facts.more_trainings == 197


def test_there_is_one_key_per_scope_and_last_day() -> None:
    assert weekly_key("all", SUNDAY) == "weekly:all:2025-11-23"
    assert weekly_key("all", date(2025, 11, 18)) != weekly_key("all", SUNDAY)
    assert weekly_key("x", SUNDAY) != weekly_key("all", SUNDAY)

"""The pages as Airflow serves them: behind its login, true to the database, safe with what others wrote."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import Engine, text


def a_night(db: Engine) -> None:
    with db.begin() as conn:
        conn.execute(
            text("""
            INSERT INTO llm.llm_batch (provider, model, endpoint, run_date, chunk, state, vendor_batch_id,
                                       request_count, vendor_counts, submitted_at, error)
            VALUES ('openai', 'gpt-5-mini', '/v1/chat/completions', '2026-11-20', 1, 'submitted', 'batch_1',
            10,
                    '{"completed": 4, "failed": 1, "total": 10}', now() - interval '5 minutes', NULL),
                   ('anthropic', 'claude-haiku-4-5', '/v1/messages', '2026-11-20', 1, 'failed', NULL, 3, '{}',
                    NULL, '<script>alert(1)</script> refused')""")
        )


@pytest.mark.parametrize("path", ["/nightshift/llm", "/nightshift/llm/batches"])
def test_nobody_reads_a_page_without_logging_in(anonymous: Any, path: str) -> None:
    assert anonymous.get(path).status_code == 401


def test_an_empty_house_says_what_will_be_there(visitor: Any) -> None:
    page = visitor.get("/nightshift/llm")
    assert page.status_code == 200
    assert "Nothing was asked on these days" in page.text
    assert "The queue is empty" in page.text


def test_batches_show_how_far_they_are_and_scripts_of_others_stay_words(db: Engine, visitor: Any) -> None:
    a_night(db)
    page = visitor.get("/nightshift/llm/batches?day=2026-11-20")
    assert "4 of 10 answered, 1 not" in page.text
    assert "batch_1" in page.text
    assert "<script>" not in page.text
    assert "&lt;script&gt;" in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert 'http-equiv="refresh"' in page.text


def test_a_day_that_is_none_is_refused(visitor: Any) -> None:
    assert visitor.get("/nightshift/llm/batches?day=yesterday").status_code == 422
    assert visitor.get("/nightshift/llm?days=0").status_code == 422


def test_without_a_database_the_page_says_which_connection_to_check(
    visitor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nightshift.pages import app

    app._engine.cache_clear()
    gone = {"conn_type": "postgres", "host": "127.0.0.1", "port": 1, "login": "a", "schema": "b"}
    monkeypatch.setenv("AIRFLOW_CONN_NIGHTSHIFT_DB", json.dumps(gone))
    page = visitor.get("/nightshift/llm/batches")
    assert page.status_code == 503
    assert "Check connection nightshift_db" in page.text


def test_each_namespace_says_what_it_may_answer_and_by_what_evidence(db: Engine, visitor: Any) -> None:
    with db.begin() as conn:
        conn.execute(
            text("""
            WITH named AS (
                INSERT INTO llm.cache_namespace (tenant, task, prompt_version, model, embedder, version,
                                                 policy, shut_at, shut_why)
                VALUES ('*', 'hook_classification', 'v1', 'anthropic/m', 'minilm', 1, '{}', NULL, NULL),
                       ('a1', 'creative_score', 'v1', 'anthropic/m', 'minilm', 1, '{}', now(),
                        '9 of 20 wrong'),
                       ('a2', 'creative_score', 'v1', 'anthropic/m', 'minilm', 0, NULL, NULL, NULL)
                RETURNING namespace_id, tenant
            ), learnt AS (
                INSERT INTO llm.cache_policy (namespace_id, version, why, delta, threshold, observations,
                                              hit_share, wrong_share, wrong_bound)
                SELECT namespace_id, 1, 'learnt', 0.01, 0.9, 2400, 0.31, 0.004, 0.0082 FROM named
                WHERE tenant <> 'a2'
            )
            INSERT INTO llm.cache_lookup (namespace_id, kind, similarity)
            SELECT namespace_id, kind, 0.9
            FROM named, unnest(ARRAY['exact', 'semantic', 'semantic', 'checked_right', 'checked_wrong',
                                     'miss']) AS kind
            WHERE tenant = '*'""")
        )
    page = visitor.get("/nightshift/llm").text
    assert "31% of the rest by 2,400 observations, at most 0.82% wrong" in page
    assert "exact only</span><small>9 of 20 wrong" in page
    assert "exact only</span><small>until there is evidence" in page
    # Four semantic hits, of which two were checked and one was wrong; five lookups without an exact answer.
    assert "1 of 2 checked semantic hits were wrong" in page
    assert page.count("40.00 %") == 3, "of all days, of the day, and of the namespace"
    assert "everybody" in page

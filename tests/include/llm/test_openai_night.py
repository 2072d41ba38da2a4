"""A night with OpenAI: every end a batch of it can come to, and what each costs."""

from datetime import timedelta

import pytest
from sqlalchemy import text

from include.errors import TransientError
from include.llm.bodies import Endpoint
from include.llm.errors import BatchSubmissionUnknown, VendorNotConnected
from include.llm.submission import Way, submit_batches
from include.llm.vendors import BatchVendors

CREATE = "POST /v1/batches"
CONTENT = "GET /v1/files/*/content"


@pytest.fixture
def night(make_night):
    return make_night(creatives=0)


def ends(night):
    rows = night.rows("SELECT outcome, count(*) AS n FROM llm.llm_batch_item GROUP BY outcome")
    return {row["outcome"]: row["n"] for row in rows}


@pytest.mark.parametrize("endpoint", [Endpoint.CHAT, Endpoint.RESPONSES])
def test_questions_are_answered_and_the_ledger_is_the_vendors_bill(night, endpoint):
    night.ask_openai(7, endpoint)
    report = night.run()
    assert (report.requests, report.succeeded, report.batches) == (7, 7, 1)
    assert report.paid_usd == night.vendor_bill_usd() > 0
    assert all(row["answer"]["text"] for row in night.rows("SELECT answer FROM llm.llm_request"))


def test_embeddings_come_back_as_vectors(night):
    night.ask_openai(3, Endpoint.EMBEDDINGS)
    night.run()
    answers = [row["answer"] for row in night.rows("SELECT answer FROM llm.llm_request")]
    assert [(answer["dimensions"], len(answer["vectors_b64"])) for answer in answers] == [(1536, 1)] * 3
    assert night.report().paid_usd == night.vendor_bill_usd() > 0


def test_an_answer_that_does_not_meet_its_schema_is_invalid_and_paid_for(night):
    schema = {"type": "object", "required": ["label"]}
    night.ask_openai(2, answer_schema=schema)
    report = night.run()
    assert (report.failed, ends(night)) == (2, {"invalid": 2})
    assert "no JSON" in night.rows("SELECT error FROM llm.llm_request")[0]["error"]
    assert report.paid_usd == night.vendor_bill_usd() > 0


def test_both_vendors_and_every_endpoint_share_a_night(make_night):
    night = make_night(creatives=3)
    for endpoint in (Endpoint.CHAT, Endpoint.RESPONSES, Endpoint.EMBEDDINGS):
        night.ask_openai(3, endpoint)
    report = night.run()
    assert (report.succeeded, report.batches) == (12, 4)
    assert report.paid_usd == night.vendor_bill_usd()


def test_a_lost_response_is_found_by_our_intent_among_others_of_the_same_size(night):
    night.ask_openai(2)
    (batch_id,) = night.plan()
    gpt = night.vendors["openai"].client
    night.fault("server_error", CREATE, vendor="openai")
    with pytest.raises(BatchSubmissionUnknown):
        night.submit((batch_id,))
    file_id = night.one("SELECT input_file_id FROM llm.llm_batch")
    foreign = gpt.batches.create(
        input_file_id=file_id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    night.fault("drop_response", CREATE, vendor="openai")
    (batch,) = night.submit((batch_id,)).submitted
    assert batch.way is Way.ADOPTED
    assert batch.vendor_batch_id != foreign.id
    assert not night.one("SELECT adopted FROM llm.llm_batch"), "metadata leaves no doubt"
    assert night.vendor_state()["openai_files"]["uploaded"] == 1, "the upload is used again"


def test_an_upload_that_is_gone_is_made_again(night):
    night.ask_openai(2)
    night.fault("rate_limit", CREATE, vendor="openai")
    with pytest.raises(TransientError, match="429"):
        night.submit()
    night.vendors["openai"].client.files.delete(night.one("SELECT input_file_id FROM llm.llm_batch"))
    night.submit()
    assert night.run().succeeded == 2


def test_a_quota_that_is_told_late_gives_the_requests_and_their_attempt_back(night):
    night.ask_openai(4)
    night.fault("token_limit", CREATE, vendor="openai")
    report = night.run()
    assert (report.succeeded, report.waiting, report.refused_batches) == (0, 4, 1)
    assert "token_limit_exceeded" in night.one("SELECT error FROM llm.llm_batch")
    assert night.states() == {"queued": 4}
    assert night.one("SELECT max(attempts) FROM llm.llm_request") == 0
    night.day += timedelta(days=1)
    assert night.run().succeeded == 4


def test_one_bad_line_fails_alone_and_the_rest_goes_out_the_next_night(night):
    night.ask_openai(3)
    night.plan()
    with night.engine.begin() as conn:
        conn.execute(
            text("""
            UPDATE llm.llm_request SET params = jsonb_set(params, '{model}', '"gpt-5-nano"')
            WHERE request_id = (SELECT max(request_id) FROM llm.llm_request)""")
        )
        conn.execute(
            text("""
            UPDATE llm.llm_batch_item SET custom_id = (SELECT min(custom_id) FROM llm.llm_batch_item) || 'x'
            WHERE request_id = (SELECT max(request_id) FROM llm.llm_request)""")
        )
    report = night.run()
    assert report.refused_batches == 1
    assert night.states() == {"queued": 3}, "no single line was named: none has failed"
    assert "mismatched_model" in night.one("SELECT error FROM llm.llm_batch")


def test_an_all_failed_batch_has_no_output_and_its_passing_failures_are_asked_again(night):
    night.ask_openai(3)
    night.fault("partial_failure", CREATE, vendor="openai", args={"share": 1.0})
    report = night.run()
    assert (report.waiting, ends(night)) == (3, {"errored": 3})
    assert night.states() == {"queued": 3}
    assert report.paid_usd == 0
    night.day += timedelta(days=1)
    assert night.run().succeeded == 3


def test_empty_file_ids_are_no_files(night):
    night.ask_openai(3)
    night.fault("empty_file_ids", CREATE, vendor="openai")
    assert night.run().succeeded == 3


@pytest.mark.parametrize("how", ["expired", "cancelled"])
def test_what_was_done_before_the_end_is_kept_and_paid_for(night, how):
    night.ask_openai(30)
    if how == "expired":
        night.fault("expire", CREATE, vendor="openai", args={"share": 0.5, "after_seconds": 24 * 3600})
        night.submit()
    else:
        (batch,) = night.submit().submitted
        night.let_the_vendor_finish(0.5)
        night.vendors["openai"].cancel(batch.vendor_batch_id)
    night.let_the_vendor_finish()
    night.collect()
    report, outcomes = night.report(), ends(night)
    assert outcomes.keys() == {"succeeded", how}
    assert (report.succeeded, report.waiting) == (outcomes["succeeded"], outcomes[how])
    assert report.paid_usd == night.vendor_bill_usd() > 0
    night.clear_faults()
    night.day += timedelta(days=1)
    night.run()
    assert night.states() == {"succeeded": 30}


def test_a_malformed_line_is_quarantined_and_read_again_for_free(night):
    night.ask_openai(6)
    night.submit()
    night.let_the_vendor_finish()
    night.fault("malformed_line", CONTENT, vendor="openai")
    night.collect()
    assert night.states() == {"succeeded": 6}
    assert night.one("SELECT count(*) FROM llm.quarantined_line") == 1


@pytest.mark.parametrize("clean", [True, False])
def test_a_download_that_breaks_off_goes_on_from_what_was_stored(night, clean):
    night.ask_openai(20)
    night.submit()
    night.let_the_vendor_finish()
    night.fault("truncate", CONTENT, vendor="openai", args={"bytes": 6000, "clean": clean})
    for _ in range(2):
        try:
            night.collect()
        except TransientError:
            assert 0 < night.states()["succeeded"] < 20
    assert night.states() == {"succeeded": 20}
    assert night.report().paid_usd == night.vendor_bill_usd()


def test_results_older_than_thirty_days_are_missing_and_asked_again(night):
    night.ask_openai(2)
    night.submit()
    night.let_the_vendor_finish()
    night.vendors["openai"].look(night.one("SELECT vendor_batch_id FROM llm.llm_batch"))
    night.let_the_vendor_finish(31 * 24 * 3600)
    night.collect()
    assert ends(night) == {"missing": 2}
    assert "deleted" in night.rows("SELECT error FROM llm.llm_request")[0]["error"]
    assert night.states() == {"queued": 2}


def test_what_was_stored_is_deleted_at_the_vendor(night):
    night.ask_openai(2)
    night.run()
    files = night.vendor_state()["openai_files"]
    assert files == {"uploaded": 1, "deleted": 1}


def test_a_vendor_without_a_connection_is_named_and_the_other_goes_on(make_night):
    night = make_night(creatives=2)
    night.queue()
    night.ask_openai(2)
    ids = night.plan()
    only = BatchVendors([night.vendors["anthropic"]], {"openai": "connection openai_default is not set"})
    with pytest.raises(VendorNotConnected, match="openai_default"):
        submit_batches(night.engine, only, ids, night.settings.llm)
    assert (night.vendor_batches(), night.vendor_batches("openai")) == (1, 0)
    assert night.run().succeeded == 4

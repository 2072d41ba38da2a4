import json
from datetime import timedelta

import pytest
from sqlalchemy import text

from include.llm.collection import collect_batches
from include.llm.errors import BatchUnknown, ResultsCutShort

RESULTS = "GET /v1/messages/batches/*/results"


def submitted_night(make_night, **settings):
    night = make_night(**settings)
    night.queue()
    night.submit()
    night.let_the_vendor_finish()
    return night


def test_a_damaged_line_is_quarantined_and_what_it_said_is_read_again_for_free(make_night):
    night = submitted_night(make_night)
    night.fault("malformed_line", RESULTS)
    night.collect()
    assert night.states() == {"succeeded": 6}
    (line,) = night.rows("SELECT line, reason FROM llm.quarantined_line")
    assert line["reason"].startswith("not JSON")
    assert line["line"].startswith('{"custom_id":"b')
    assert night.report().paid_usd == night.vendor_bill_usd()


def test_a_line_that_stays_damaged_counts_as_missing_and_is_asked_again(make_night):
    night = submitted_night(make_night)
    night.fault("malformed_line", RESULTS, times=None, args={"lines": 2})
    night.collect()
    assert night.states() == {"succeeded": 4, "queued": 2}
    assert night.report().waiting == 2
    assert night.one("SELECT count(*) FROM llm.quarantined_line") == 2
    night.clear_faults()
    night.day += timedelta(days=1)
    night.run()
    assert night.states() == {"succeeded": 6}


@pytest.mark.parametrize("clean", [True, False])
def test_a_download_that_breaks_off_goes_on_from_what_was_stored(make_night, clean):
    night = submitted_night(make_night, creatives=20)
    night.fault("truncate", RESULTS, args={"bytes": 5000, "clean": clean})
    if not clean:
        with pytest.raises(ResultsCutShort):
            night.collect()
        assert 0 < night.states()["succeeded"] < 20
    night.collect()
    assert night.states() == {"succeeded": 20}
    assert night.report().paid_usd == night.vendor_bill_usd()


def test_what_failed_in_passing_is_asked_again_until_the_limit(make_night):
    night = make_night(max_attempts=2)
    night.fault("partial_failure", times=None, args={"share": 1.0, "error_type": "overloaded_error"})
    assert (night.run().waiting, night.states()) == (6, {"queued": 6})
    night.day += timedelta(days=1)
    assert (night.run().failed, night.states()) == (6, {"failed": 6})
    assert "overloaded_error" in night.rows("SELECT error FROM llm.llm_request")[0]["error"]
    night.day += timedelta(days=1)
    assert night.run().requests == 0
    assert night.report().paid_usd == 0


def test_what_failed_for_good_is_not_asked_again(make_night):
    night = make_night()
    night.fault("partial_failure", args={"share": 1.0, "error_type": "invalid_request_error"})
    assert (night.run().failed, night.states()) == (6, {"failed": 6})
    night.day += timedelta(days=1)
    assert night.run().requests == 0


def test_part_of_a_batch_that_failed_does_not_take_the_rest_along(make_night):
    night = make_night(creatives=30)
    night.fault("partial_failure", args={"share": 0.5, "error_type": "api_error"})
    report = night.run()
    assert report.succeeded + report.waiting == 30
    assert 0 < report.waiting < 30
    assert night.one("SELECT count(*) FROM llm.creative_score") == report.succeeded
    assert report.paid_usd == night.vendor_bill_usd()


def test_what_an_expired_batch_had_done_is_kept_and_the_rest_asked_again(make_night):
    night = make_night(creatives=30)
    night.fault("expire", args={"share": 0.5, "after_seconds": 24 * 3600})
    report = night.run()
    assert report.succeeded + report.waiting == 30
    assert 0 < report.waiting < 30
    assert report.paid_usd == night.vendor_bill_usd() > 0
    night.day += timedelta(days=1)
    night.run()
    assert night.states() == {"succeeded": 30}


def test_what_a_cancelled_batch_had_done_is_kept_too(make_night):
    night = make_night()
    night.queue()
    (batch,) = night.submit().submitted
    night.vendors["anthropic"].cancel(batch.vendor_batch_id)
    night.let_the_vendor_finish()
    night.collect()
    states = night.states()
    assert states.get("queued", 0) + states.get("succeeded", 0) == 6
    assert night.report().paid_usd == night.vendor_bill_usd()
    outcomes = {row["outcome"] for row in night.rows("SELECT DISTINCT outcome FROM llm.llm_batch_item")}
    assert outcomes <= {"cancelled", "succeeded"}
    assert night.vendors["anthropic"].cancel(batch.vendor_batch_id).ended, "cancelling too late is no error"


def test_a_batch_the_vendor_is_still_at_is_left_alone(make_night):
    night = make_night()
    night.queue()
    night.submit()
    (batch,) = night.collect()
    assert (batch.state, night.states()) == ("submitted", {"batched": 6})
    assert night.report().waiting == 6


def test_collecting_twice_stores_nothing_twice(make_night):
    night = submitted_night(make_night)
    first = night.collect()
    before = night.everything()
    assert night.collect() == first
    assert night.everything() == before


def test_a_useless_answer_fails_with_its_reason_and_is_paid_for(make_night):
    night = make_night(scoring_max_tokens=5)
    report = night.run()
    assert (report.failed, night.states()) == (6, {"failed": 6})
    assert (
        night.rows("SELECT error FROM llm.llm_request")[0]["error"] == "the answer was cut off at max_tokens"
    )
    assert report.paid_usd == night.vendor_bill_usd() > 0
    assert night.one("SELECT count(*) FROM llm.creative_score") == 0


def test_results_the_vendor_has_deleted_are_missing_and_asked_again(make_night):
    night = submitted_night(make_night)
    night.let_the_vendor_finish(30 * 24 * 3600)
    night.collect()
    assert night.states() == {"queued": 6}
    assert "deleted" in night.rows("SELECT error FROM llm.llm_request")[0]["error"]


def test_a_batch_the_vendor_forgot_is_asked_again_when_its_results_would_be_gone_anyway(make_night):
    night = submitted_night(make_night)
    vendor_batch_id = night.one("SELECT vendor_batch_id FROM llm.llm_batch")
    assert night.client.messages.batches.retrieve(vendor_batch_id).processing_status == "ended"
    night.client.messages.batches.delete(vendor_batch_id)
    with pytest.raises(BatchUnknown, match=vendor_batch_id):
        night.collect()
    assert night.states() == {"batched": 6}
    with night.engine.begin() as conn:
        conn.execute(text("UPDATE llm.llm_batch SET submitted_at = submitted_at - interval '30 days'"))
    night.collect()
    assert night.states() == {"queued": 6}


def test_a_batch_that_cannot_be_collected_does_not_hold_up_the_others(make_night):
    night = make_night(creatives=4, batch_max_requests=2)
    night.queue()
    first, second = night.submit().submitted
    night.let_the_vendor_finish()
    night.client.messages.batches.retrieve(first.vendor_batch_id)
    night.client.messages.batches.delete(first.vendor_batch_id)
    with pytest.raises(BatchUnknown, match=first.vendor_batch_id):
        collect_batches(night.engine, night.vendors, [first.batch_id, second.batch_id], night.settings)
    assert night.states() == {"batched": 2, "succeeded": 2}


def test_prompts_and_answers_stay_out_of_what_the_dag_passes_on(make_night):
    night = make_night()
    night.run()
    passed_on = json.dumps(night.report().as_counts())
    assert "Why does" not in passed_on
    assert "critique" not in passed_on

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from include.db import llm_batches as sql
from include.errors import TransientError
from include.llm.errors import BatchSubmissionUnknown, VendorBusy, VendorRefused
from include.llm.submission import Way, submit_batch
from tests.include.llm.conftest import LIST, vendors_of


def ways(submissions):
    return [batch.way for batch in submissions.submitted]


def test_a_lost_response_is_adopted_not_resubmitted(make_night):
    night = make_night()
    night.fault("drop_response")
    night.queue()
    assert ways(night.submit()) == [Way.ADOPTED]
    assert (night.posts(), night.vendor_batches()) == (1, 1)
    night.let_the_vendor_finish()
    night.collect()
    assert night.states() == {"succeeded": 6}
    assert night.report().paid_usd == night.vendor_bill_usd()


def lost_and_not_to_be_looked_for(night):
    night.fault("drop_response")
    night.fault("server_error", LIST, times=3, args={"status": 503})
    night.queue()
    with pytest.raises(TransientError):
        night.submit()


def test_a_lost_response_that_cannot_be_looked_for_is_adopted_by_the_next_attempt(make_night):
    night = make_night()
    lost_and_not_to_be_looked_for(night)
    assert ways(night.submit()) == [Way.ADOPTED]
    assert (night.posts(), night.vendor_batches()) == (1, 1)


def test_a_batch_that_ended_before_it_was_found_is_adopted_by_its_ids(make_night):
    night = make_night()
    lost_and_not_to_be_looked_for(night)
    night.let_the_vendor_finish()
    assert ways(night.submit()) == [Way.ADOPTED]
    assert night.vendor_batches() == 1


def test_a_busy_vendor_took_nothing_and_the_next_attempt_posts(make_night):
    night = make_night()
    night.fault("rate_limit")
    night.queue()
    with pytest.raises(VendorBusy, match="429"):
        night.submit()
    assert ways(night.submit()) == [Way.POSTED]
    assert (night.posts(), night.vendor_batches()) == (2, 1)
    assert LIST not in night.vendor_state()["requests"]["anthropic"], "a clear refusal needs no looking"


@pytest.mark.parametrize("status", [500, 503, 529])
def test_a_server_error_may_have_taken_the_batch_so_it_is_looked_for_first(make_night, status):
    night = make_night()
    night.fault("server_error", args={"status": status})
    night.queue()
    with pytest.raises(BatchSubmissionUnknown):
        night.submit()
    assert ways(night.submit()) == [Way.POSTED]
    assert night.vendor_batches() == 1
    assert night.vendor_state()["requests"]["anthropic"][LIST] == 2


def test_a_wrong_key_fails_at_once_and_the_batch_goes_out_when_it_is_right(make_night, sandbox):
    night = make_night()
    night.queue()
    (batch_id,) = night.plan()
    with (
        vendors_of(sandbox, "wrong") as stranger,
        pytest.raises(VendorRefused, match="anthropic_default") as refusal,
    ):
        submit_batch(night.engine, stranger, batch_id, night.settings.llm)
    assert "wrong" not in str(refusal.value)
    assert ways(night.submit()) == [Way.POSTED]


def test_a_refused_batch_gives_its_requests_back(make_night):
    night = make_night()
    night.fault("server_error", args={"status": 400})
    night.queue()
    with pytest.raises(VendorRefused, match="HTTP 400"):
        night.submit()
    assert night.states() == {"queued": 6}
    assert night.one("SELECT max(attempts) FROM llm.llm_request") == 0
    assert night.report().waiting == 6
    assert night.run().succeeded == 6, "a refusal does not use up the night's attempt"


def test_one_refused_batch_does_not_hold_up_the_others(make_night):
    night = make_night(creatives=4, batch_max_requests=2)
    night.fault("server_error", args={"status": 413})
    night.queue()
    submissions = night.submit()
    assert (len(submissions.submitted), len(submissions.refusals)) == (1, 1)
    night.let_the_vendor_finish()
    night.collect()
    report = night.report()
    assert (report.succeeded, report.waiting, report.refused_batches) == (2, 2, 1)
    assert "refused" in report.summary


def test_two_submitters_at_once_post_one_batch(make_night, sandbox):
    night = make_night()
    night.fault("delay", times=None, args={"seconds": 0.5})
    night.queue()
    (batch_id,) = night.plan()
    together = threading.Barrier(3)

    def submit(_):
        with vendors_of(sandbox) as vendors:
            together.wait()
            return submit_batch(night.engine, vendors, batch_id, night.settings.llm).way

    with ThreadPoolExecutor(3) as workers:
        assert sorted(workers.map(submit, range(3))) == [Way.ALREADY, Way.ALREADY, Way.POSTED]
    assert (night.posts(), night.vendor_batches()) == (1, 1)


def test_of_two_that_found_the_same_batch_unposted_one_may_post_it(make_night):
    night = make_night()
    night.queue()
    (batch_id,) = night.plan()
    for _ in range(2):
        with night.engine.connect() as conn:
            seen = sql.get_batch(conn, batch_id).post_started_at
        with night.engine.begin() as first:
            assert sql.begin_posting(first, batch_id, seen)
        with night.engine.begin() as second:
            assert not sql.begin_posting(second, batch_id, seen)


def foreign_batch(night, requests=6):
    params = {"model": "claude-haiku-4-5", "max_tokens": 10, "messages": [{"role": "user", "content": "hi"}]}
    return night.client.messages.batches.create(
        requests=[{"custom_id": f"theirs-{n}", "params": params} for n in range(requests)]
    )


def foreign_batch_after_the_fault(night):
    with pytest.raises(BatchSubmissionUnknown):
        night.submit()
    return foreign_batch(night)


def test_a_strangers_batch_of_the_same_size_is_given_up_when_its_results_show_it(make_night):
    night = make_night()
    night.fault("server_error")
    night.queue()
    foreign = foreign_batch_after_the_fault(night)
    assert ways(night.submit()) == [Way.ADOPTED], "it cannot be told apart while it is in progress"
    night.let_the_vendor_finish()
    night.collect()
    assert night.one("SELECT not_ours FROM llm.llm_batch") == [foreign.id]
    assert night.states() == {"batched": 6}
    night.let_the_vendor_finish()
    night.collect()
    assert night.states() == {"succeeded": 6}
    assert night.vendor_batches() == 2
    assert night.one("SELECT count(*) FROM llm.quarantined_line") == 0


def test_an_ended_batch_of_a_stranger_is_not_adopted_at_all(make_night):
    night = make_night()
    night.fault("server_error")
    night.queue()
    foreign_batch_after_the_fault(night)
    night.let_the_vendor_finish()
    assert ways(night.submit()) == [Way.POSTED]


def test_batches_of_another_size_or_from_before_are_not_adopted(make_night):
    night = make_night()
    foreign_batch(night)
    exact = night.settings.llm.model_copy(update={"clock_tolerance_s": 0.001})
    night.settings = night.settings.model_copy(update={"llm": exact})
    night.fault("server_error")
    night.queue()
    with pytest.raises(BatchSubmissionUnknown):
        night.submit()
    foreign_batch(night, requests=5)
    assert ways(night.submit()) == [Way.POSTED]


def test_two_of_ours_that_were_adopted_crosswise_find_back_without_a_new_post(make_night):
    night = make_night(creatives=4, batch_max_requests=2)
    night.queue()
    first, second = night.plan()
    posted = {}
    with night.engine.connect() as conn:
        for batch_id in (first, second):
            requests = [{"custom_id": c, "params": p} for c, p in sql.batch_requests(conn, batch_id)]
            posted[batch_id] = night.client.messages.batches.create(requests=requests).id
    with night.engine.begin() as conn:
        now = datetime.now(UTC)
        sql.mark_submitted(conn, first, posted[second], now, adopted=True)
        sql.mark_submitted(conn, second, posted[first], now, adopted=True)
    night.let_the_vendor_finish()
    night.collect()
    night.collect()
    held = {row["batch_id"]: row["vendor_batch_id"] for row in night.rows("SELECT * FROM llm.llm_batch")}
    assert held == posted
    assert night.states() == {"succeeded": 4}
    assert night.posts() == 2
    assert night.report().paid_usd == night.vendor_bill_usd()


def test_a_post_that_may_still_be_under_way_is_given_time_to_arrive(make_night):
    night = make_night(settle_s=0.8)
    night.fault("server_error")
    night.queue()
    with pytest.raises(BatchSubmissionUnknown):
        night.submit()
    with night.engine.begin() as conn:
        an_upload_ago = text(
            "UPDATE llm.llm_batch SET post_started_at = now() - interval '1 min' RETURNING batch_id"
        )
        batch_id = conn.execute(an_upload_ago).scalar_one()
        requests = [{"custom_id": c, "params": p} for c, p in sql.batch_requests(conn, batch_id)]
    late = threading.Timer(0.3, lambda: night.client.messages.batches.create(requests=requests))
    late.start()
    assert ways(night.submit()) == [Way.ADOPTED]
    late.join()
    assert night.vendor_batches() == 1


def test_the_wait_ends_a_fixed_time_after_the_last_submission(make_night):
    night = make_night()
    night.queue()
    submissions = night.submit()
    until = datetime.fromisoformat(submissions.wait_until(night.settings.llm))
    assert until - submissions.submitted[0].submitted_at == timedelta(hours=25)
    assert night.posts() == 1

"""The process dies by SIGKILL at every step of a night, and every answer is lost once; the night run again
always comes to the same end: each request answered once, each batch created once, the bill the vendor's."""

import multiprocessing
import signal

import pytest

from include.errors import TransientError
from include.llm.submission import submit_batches
from tests.include.llm import doomed_night

# Forked from a process that has imported everything already: dozens of nights start in no time.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload([doomed_night.__name__])

# What dies when, and what it leaves: states of our batches, batches at the vendor, requests answered.
KILL_POINTS = {
    "anthropic": {
        "while planning": ("commit", 1, [], 0, 0),
        "planned, nothing posted": ("commit", 2, ["intent"], 0, 0),
        "about to post": ("request", 1, ["intent"], 0, 0),
        "posted, answer not stored": ("response", 1, ["intent"], 1, 0),
        "answer read, not committed": ("commit", 3, ["intent"], 1, 0),
        "about to look": ("request", 2, ["submitted"], 1, 0),
        "looked": ("response", 2, ["submitted"], 1, 0),
        "submitted, end not noted": ("commit", 4, ["submitted"], 1, 0),
        "nothing stored yet": ("commit", 5, ["ended"], 1, 0),
        "results about to be asked for": ("request", 4, ["ended"], 1, 0),
        "results being downloaded": ("response", 5, ["ended"], 1, 0),
        "part of the results stored": ("commit", 7, ["ended"], 1, 4),
        "all results stored, batch not closed": ("commit", 8, ["ended"], 1, 6),
    },
    "openai": {
        "while planning": ("commit", 1, [], 0, 0),
        "planned, nothing uploaded": ("request", 1, ["intent"], 0, 0),
        "uploaded, file id not read": ("response", 1, ["intent"], 0, 0),
        "file id read, not committed": ("commit", 2, ["intent"], 0, 0),
        "uploaded, nothing posted": ("commit", 3, ["intent"], 0, 0),
        "about to post": ("request", 2, ["intent"], 0, 0),
        "posted, answer not stored": ("response", 2, ["intent"], 1, 0),
        "answer read, not committed": ("commit", 4, ["intent"], 1, 0),
        "about to look": ("request", 3, ["submitted"], 1, 0),
        "looked": ("response", 3, ["submitted"], 1, 0),
        "submitted, end not noted": ("commit", 5, ["submitted"], 1, 0),
        "nothing stored yet": ("commit", 6, ["ended"], 1, 0),
        "results being downloaded": ("response", 5, ["ended"], 1, 0),
        "part of the results stored": ("commit", 8, ["ended"], 1, 4),
        "all results stored, batch not closed": ("commit", 9, ["ended"], 1, 6),
        "closed, files not deleted": ("request", 6, ["collected"], 1, 6),
    },
}
CASES = [(vendor, point) for vendor, points in KILL_POINTS.items() for point in points]

# Every answer a night gets, by the route that gives it.
ROUTES = {
    "anthropic": [
        "POST /v1/messages/batches",
        "GET /v1/messages/batches/*",
        "GET /v1/messages/batches/*/results",
        "POST /v1/messages/batches/*/cancel",
    ],
    "openai": [
        "POST /v1/files",
        "POST /v1/batches",
        "GET /v1/batches/*",
        "GET /v1/files/*/content",
        "DELETE /v1/files/*",
        "POST /v1/batches/*/cancel",
    ],
}
ANSWERS = [(vendor, route) for vendor, routes in ROUTES.items() for route in routes]


def whole(night, vendor):
    """Each request has one end, the vendor saw one batch, and the ledger is its bill to the last digit."""
    assert night.states() == {"succeeded": 6}
    assert night.vendor_batches(vendor) == 1
    assert night.one("SELECT count(*) FROM llm.llm_batch_item WHERE outcome = 'succeeded'") == 6
    assert night.one("SELECT count(*) FROM llm.llm_cost") == 6
    assert night.report().paid_usd == night.vendor_bill_usd() > 0


def a_night(make_night, vendor):
    night = make_night(creatives=6 if vendor == "anthropic" else 0)
    night.queue()
    if vendor == "openai":
        night.ask_openai(6)
    return night


@pytest.mark.parametrize(("vendor", "point"), CASES)
def test_killed_at_any_step_and_run_again_each_request_ends_once(make_night, sandbox, vendor, point):
    kind, number, batches, at_the_vendor, answered = KILL_POINTS[vendor][point]
    night = a_night(make_night, vendor)
    url = night.engine.url.render_as_string(hide_password=False)
    doomed = PROCESSES.Process(
        daemon=True,
        target=doomed_night.run,
        args=(url, sandbox.url, sandbox.api_key, night.day, kind, number),
    )
    doomed.start()
    doomed.join(60)
    assert doomed.exitcode == -signal.SIGKILL
    assert [row["state"] for row in night.rows("SELECT state FROM llm.llm_batch")] == batches
    assert night.vendor_batches(vendor) == at_the_vendor
    assert night.states().get("succeeded", 0) == answered
    night.run()
    whole(night, vendor)
    if vendor == "anthropic":
        assert night.one("SELECT count(*) FROM llm.creative_score") == 6


@pytest.mark.parametrize(("vendor", "route"), ANSWERS)
def test_any_answer_may_be_lost_once(make_night, vendor, route):
    night = a_night(make_night, vendor)
    # The SDK repeats what may be repeated; a creation it does not.
    night.fault("drop_response", route, vendor=vendor)
    for _ in range(2):
        try:
            night.submit()
            break
        except TransientError:
            continue
    for row in night.rows("SELECT vendor_batch_id FROM llm.llm_batch"):
        if route.endswith("/cancel"):
            # Too late to cancel: what the vendor has done by then is kept all the same.
            night.let_the_vendor_finish()
            assert night.vendors[vendor].cancel(row["vendor_batch_id"]).ended
    night.let_the_vendor_finish()
    for _ in range(2):
        try:
            night.collect()
            break
        except TransientError:
            continue
    whole(night, vendor)


@pytest.mark.parametrize("vendor", ["anthropic", "openai"])
def test_a_database_that_goes_away_between_post_and_answer_costs_no_second_batch(make_night, vendor):
    from sqlalchemy import event, text
    from sqlalchemy.exc import OperationalError

    night = a_night(make_night, vendor)
    ids = night.plan()
    create = night.vendors[vendor].create

    def create_and_lose_the_database(*arguments):
        created = create(*arguments)

        @event.listens_for(night.engine, "checkout", once=True)
        def gone(connection, *_):
            raise OperationalError("the server closed the connection", None, Exception("gone"))

        return created

    night.vendors[vendor].create = create_and_lose_the_database
    with pytest.raises(OperationalError):
        submit_batches(night.engine, night.vendors, ids, night.settings.llm)
    night.vendors[vendor].create = create
    with night.engine.connect() as conn:
        assert conn.execute(text("SELECT 1")).scalar_one() == 1
    night.run()
    whole(night, vendor)

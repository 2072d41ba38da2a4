"""The process dies by SIGKILL at every step of a night; the night run again always comes to the same end."""

import multiprocessing
import signal

import pytest

from tests.include.llm import doomed_night

# Forked from a process that has imported everything already: ten nights start in no time.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload([doomed_night.__name__])

# What dies when, and what it leaves: states of our batches, batches at the vendor, requests answered.
KILL_POINTS = {
    "while planning": ("commit", 1, [], 0, 0),
    "planned, nothing posted": ("commit", 2, ["intent"], 0, 0),
    "about to post": ("request", 1, ["intent"], 0, 0),
    "posted, answer not stored": ("response", 1, ["intent"], 1, 0),
    "answer read, not committed": ("commit", 3, ["intent"], 1, 0),
    "submitted, not collected": ("commit", 4, ["submitted"], 1, 0),
    "nothing stored yet": ("commit", 5, ["ended"], 1, 0),
    "results being downloaded": ("response", 4, ["ended"], 1, 0),
    "part of the results stored": ("commit", 7, ["ended"], 1, 4),
    "all results stored, batch not closed": ("commit", 8, ["ended"], 1, 6),
}


@pytest.mark.parametrize("kill_point", KILL_POINTS)
def test_killed_at_any_step_and_run_again_each_request_ends_once(make_night, sandbox, kill_point):
    kind, number, batches, at_the_vendor, answered = KILL_POINTS[kill_point]
    night = make_night()
    night.queue()
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
    assert night.vendor_batches() == at_the_vendor
    assert night.states().get("succeeded", 0) == answered
    report = night.run()
    assert (report.requests, report.succeeded, report.batches) == (6, 6, 1)
    assert night.vendor_batches() == 1
    assert report.paid_usd == night.vendor_bill_usd() > 0
    assert night.one("SELECT count(*) FROM llm.llm_cost") == 6
    assert night.one("SELECT count(*) FROM llm.creative_score") == 6

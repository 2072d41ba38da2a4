"""The process dies by SIGKILL at every step of a night; the night run again always comes to the same end."""

import subprocess
import sys

import pytest

from include.stack.settings import REPOSITORY

# Runs plan, submit and collect, and kills itself just before the n-th commit, or when the n-th request to the
# vendor is about to leave, or when the n-th answer has arrived.
NIGHT = """
import os, signal, sys
import anthropic, httpx
from datetime import date
from sqlalchemy import event
from include.config import thresholds
from include.db import make_engine
from include.llm.batches import plan_night
from include.llm.collection import collect_batches
from include.llm.submission import submit_batches

url, sandbox, key, day, kind, number = sys.argv[1:]
left = int(number)

def tick(*_):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

settings = thresholds()
llm = settings.llm.model_copy(update={"settle_s": 0.0, "collect_rows": 2})
settings = settings.model_copy(update={"llm": llm})
engine = make_engine(url)
hooks = {kind: [tick]} if kind in {"request", "response"} else {}
client = anthropic.Anthropic(
    base_url=sandbox + "/anthropic", api_key=key, http_client=anthropic.DefaultHttpxClient(event_hooks=hooks)
)
if kind == "commit":
    event.listen(engine, "commit", tick)
ids = plan_night(engine, date.fromisoformat(day), settings).open_batch_ids
submit_batches(engine, client, ids, settings.llm)
httpx.post(sandbox + "/control/clock", json={"advance_seconds": 90000}, headers={"x-api-key": key})
collect_batches(engine, client, ids, settings)
"""

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
    killed = subprocess.run(
        [sys.executable, "-c", NIGHT, url, sandbox.url, sandbox.api_key, str(night.day), kind, str(number)],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert killed.returncode == -9, killed.stderr[-2000:]
    assert [row["state"] for row in night.rows("SELECT state FROM llm.llm_batch")] == batches
    assert night.vendor_batches() == at_the_vendor
    assert night.states().get("succeeded", 0) == answered
    report = night.run()
    assert (report.requests, report.succeeded, report.batches) == (6, 6, 1)
    assert night.vendor_batches() == 1
    assert report.paid_usd == night.vendor_bill_usd() > 0
    assert night.one("SELECT count(*) FROM llm.llm_cost") == 6
    assert night.one("SELECT count(*) FROM llm.creative_score") == 6

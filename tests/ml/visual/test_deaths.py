"""Jobs that die: real processes, real signals. What is kept is whole, and the next run goes on from there."""

import json
import os
import random
import signal
import time

import pytest

from ml.visual import job
from ml.visual.model import VisualModel
from tests.ml.visual import clips
from tests.ml.visual.clips import Scene
from tests.ml.visual.conftest import Job, network

BATCH = 4


@pytest.fixture(scope="module")
def slow_model(tmp_path_factory) -> VisualModel:
    """A network that takes a fifth of a second for a batch, so that there is a middle to die in."""
    return network(tmp_path_factory.mktemp("models") / "resnet18", "resnet18", 160, 512)


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory):
    """Two scenes, 60 frames."""
    path = tmp_path_factory.mktemp("clips") / "long.mp4"
    return clips.write(path, [Scene(71, 1.2), Scene(72, 1.2)])


@pytest.fixture(scope="module")
def short_clip(tmp_path_factory):
    """What comes after it: one scene, 10 frames."""
    return clips.write(tmp_path_factory.mktemp("clips") / "short.mp4", [Scene(73, 0.4)])


@pytest.fixture(scope="module")
def arguments(slow_model):
    return ("--model", str(slow_model.folder), "--sampling", "all", "--batch", str(BATCH))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, long_clip, short_clip, arguments):
    """The files of a job that nothing happened to, run as a process of its own like the others."""
    work = Job(tmp_path_factory.mktemp("undisturbed"))
    process = work.start(work.manifest([long_clip, short_clip], decoders=1), *arguments)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == job.DONE, errors
    return work.files()


def batches_kept(work) -> int:
    """Whole batches in the checkpoint of a video under way."""
    parts = list(work.out.glob("*.part")) if work.out.exists() else []
    return max((path.stat().st_size // (BATCH * 512 * 4 + 24) for path in parts), default=0)


def wait_for_batches(work, process, least):
    deadline = time.monotonic() + 90
    while batches_kept(work) < least:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_a_killed_job_loses_one_batch_and_ends_with_the_same_bytes(
    make_job, long_clip, short_clip, arguments, undisturbed
):
    work = make_job("killed")
    manifest = work.manifest([long_clip, short_clip], decoders=1)
    process = work.start(manifest, *arguments)
    wait_for_batches(work, process, random.Random(20).randint(2, 9))
    time.sleep(random.Random(21).uniform(0, 0.15))  # In the middle of something.
    kept = batches_kept(work)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    after = batches_kept(work)

    process = work.start(manifest, *arguments)
    _, errors = process.communicate(timeout=120)
    told = work.summary()

    assert process.returncode == job.DONE, errors
    assert after >= kept >= 2
    # 60 and 10 frames are 15 and 3 batches: what was kept is not computed again.
    assert told["recovered_batches"] == after
    assert told["batches"] == 15 + 3 - after
    assert work.files() == undisturbed


def test_a_stopped_job_keeps_its_batch_and_says_go_on(
    make_job, long_clip, short_clip, arguments, undisturbed
):
    work = make_job("stopped")
    manifest = work.manifest([long_clip, short_clip], decoders=1)
    process = work.start(manifest, *arguments)
    wait_for_batches(work, process, 3)
    began = time.monotonic()
    # To the whole group, as a terminal or a careless supervisor does.
    os.killpg(process.pid, signal.SIGTERM)
    out, errors = process.communicate(timeout=30)
    stopped_s = time.monotonic() - began
    kept = batches_kept(work)

    assert process.returncode == job.GO_ON, errors
    assert json.loads(out.splitlines()[-1])["event"] == "stopped"
    assert stopped_s < 5
    assert not (work.out / "manifest.json").exists()

    process = work.start(manifest, *arguments)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == job.DONE, errors
    assert work.summary()["recovered_batches"] == kept >= 3
    assert work.files() == undisturbed

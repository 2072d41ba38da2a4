"""Copies are recognised, and what only looks like one is not."""

import numpy as np

from ml.visual.fingerprint import Fingerprint, are_copies, find_original, fingerprint
from ml.visual.settings import Copies
from tests.ml.visual import clips
from tests.ml.visual.clips import Scene
from tests.ml.visual.copies import WAYS, pairs, recall_and_precision


def test_copies_are_found_and_look_alikes_are_not(tmp_path):
    quick = {name: how for name, how in WAYS.items() if name not in ("HEVC", "larger")}
    found = pairs(tmp_path, 7_000, quick, width=180, height=320)
    recall, precision, wrong = recall_and_precision(found)

    assert recall >= 0.95, wrong
    assert precision >= 0.99, wrong


def test_a_copy_costs_one_decode_and_no_forward(make_job, clip, tmp_path, model):
    smaller = clips.transcode(clip, tmp_path / "smaller.mp4", width=112, height=200, bit_rate=90_000)
    work = make_job()
    told = work.run([clip, smaller], "--model", str(model.folder))
    original, copy = (work.result(n) for n in range(2))

    assert (told["decodes"], told["forwards"], told["duplicates"]) == (2, 9, 1)
    assert copy["duplicate_of"] == original["content_hash"]
    assert copy["features"] is None
    assert copy["scenes"] == []
    assert copy["video"]["width"] == 112


def test_a_copy_of_a_copy_is_linked_to_the_original(make_job, clip, tmp_path):
    first = clips.transcode(clip, tmp_path / "first.mp4", bit_rate=200_000)
    second = clips.transcode(first, tmp_path / "second.mp4", width=144, height=256)
    told = make_job().run([clip, first, second])["videos"]

    assert [each["duplicate_of"] for each in told] == [None, told[0]["content_hash"], told[0]["content_hash"]]


def test_copies_are_not_looked_for_among_videos_seen_otherwise(make_job, clip, tmp_path):
    smaller = clips.transcode(clip, tmp_path / "smaller.mp4", width=112, height=200)
    work = make_job()
    work.run([clip], "--sampling", "all")

    assert work.run([smaller])["duplicates"] == 0


def test_with_key_frames_alone_nothing_is_linked(make_job, clip, tmp_path):
    smaller = clips.transcode(clip, tmp_path / "smaller.mp4", width=112, height=200)
    work = make_job()

    assert work.run([clip, smaller], "--sampling", "keyframes")["duplicates"] == 0
    assert work.result(0)["perceptual_hash"] is None


def test_two_black_videos_are_nobodys_copies(make_job, tmp_path):
    black = [
        clips.write(tmp_path / f"{bits}.mp4", [Scene(1, 2.0, brightness=0.0)], bit_rate=bits)
        for bits in (100_000, 300_000)
    ]
    told = make_job().run([black[0], clips.transcode(black[0], tmp_path / "b.mp4", width=96, height=160)])

    assert told["duplicates"] == 0
    assert fingerprint([np.zeros((160, 90), np.uint8)] * 8, 2.0, 0.56) is None


def test_a_fingerprint_survives_being_written(tmp_path):
    pictures = [np.random.default_rng(n).integers(0, 255, (160, 90)).astype(np.uint8) for n in range(130)]
    made = fingerprint(pictures, 32.5, 0.5625)
    back = Fingerprint.of_values(made.to_values())

    assert np.array_equal(back.cells, made.cells)
    assert np.array_equal(back.moments, made.moments)
    assert len(back.cells) == 22
    assert are_copies(made, back, Copies())
    assert find_original(back, [("a", made), ("b", made)], Copies()) == "a"

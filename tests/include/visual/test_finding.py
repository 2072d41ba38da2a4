"""New videos are found once: by a template, or drawn for the demo; never those that were looked at."""

from __future__ import annotations

import hashlib
from itertools import pairwise
from pathlib import Path

import av
import pytest
from sqlalchemy import Engine, text

from include.db.visual import known_videos
from include.db.visual_catalogue import count_new, list_all_again, list_videos
from include.visual.demo_clips import list_demo_clips
from include.visual.finding import file_size, find_new, list_by_template, list_changed

ACCOUNTS = """
INSERT INTO ads.account (account_id, name, niche, source)
VALUES ('real', 'Real', 'fitness', 'meta'), ('demo', 'Demo', 'fitness', 'sandbox')
"""
CREATIVES = """
INSERT INTO ads.creative (account_id, creative_id, format, duration_s, dna)
SELECT account_id, creative_id, format, 3, CAST(:dna AS jsonb)
FROM (VALUES ('real', 'r1', 'vertical_video'), ('real', 'r2', 'image'), ('demo', 'd1', 'vertical_video'),
             ('demo', 'd2', 'square_video'), ('demo', 'd3', 'carousel'))
AS row(account_id, creative_id, format)
"""
DNA = """{
    "visual": {"colours": "warm", "motion": 0.7, "text_density": 0.6},
    "audio": {"genre": "pop", "tempo": 90},
    "pacing": {"cuts_per_second": 1.0}
}"""
# The first video is a copy of the second, which was looked at.
LOOKED_AT = (
    "INSERT INTO visual.video (content_hash, bytes, state) VALUES (:b, 1, 'done')",
    "INSERT INTO visual.video (content_hash, bytes, state, duplicate_of) VALUES (:a, 1, 'done', :b)",
    "INSERT INTO visual.analysis (analysis_key, content_hash, recipe, model, preprocessing, sampling,"
    " precision, features, frames, forwards, decodes)"
    " VALUES (:key, :b, 'r', 'm', '1', '2fps', 'fp32', '{}', 1, 1, 1)",
    "UPDATE visual.creative_video SET state = 'done', content_hash = :a WHERE creative_id = 'r1'",
)

FAILED = (
    "INSERT INTO visual.video (content_hash, bytes, state, reason) VALUES (:hash, 5, 'failed', 'no good')"
)
TOLD = (
    "UPDATE visual.creative_video SET state = 'failed', reason = 'no good', content_hash = :hash, bytes = 5"
    " WHERE creative_id = :name"
)


@pytest.fixture
def creatives(db: Engine) -> Engine:
    with db.begin() as connection:
        connection.execute(text(ACCOUNTS))
        connection.execute(text(CREATIVES), {"dna": DNA})
    return db


def fail(db: Engine, files: dict[str, Path]) -> None:
    """These creatives' videos could not be analysed, each with a content of its own."""
    accounts = {"d": "demo", "r": "real"}
    list_videos(db, [(accounts[name[0]], name, str(path)) for name, path in files.items()])
    with db.begin() as connection:
        for name in files:
            values = {"name": name, "hash": hashlib.sha256(name.encode()).hexdigest()}
            connection.execute(text(FAILED), values)
            connection.execute(text(TOLD), values)


def states(db: Engine) -> dict[str, str]:
    with db.connect() as connection:
        rows = connection.execute(text("SELECT creative_id, state FROM visual.creative_video"))
        return {row.creative_id: row.state for row in rows}


def found(db: Engine, **wanted: object) -> list[str]:
    settings = {"sampling": "2fps", "account": None, "most": 100} | wanted
    return [video.creative_id for video in find_new(db, **settings)]  # type: ignore[arg-type]


def test_a_template_lists_moving_creatives_of_real_accounts_once(creatives: Engine) -> None:
    template = "s3://ads/{account_id}/{creative_id}.mp4"

    assert list_by_template(creatives, None) == 0
    assert list_by_template(creatives, template) == 1
    assert list_by_template(creatives, template) == 0
    (video,) = find_new(creatives, sampling="2fps", account=None, most=9)
    assert (video.uri, video.bytes) == ("s3://ads/real/r1.mp4", None)


def test_clips_are_drawn_for_simulated_creatives_and_say_what_their_dna_says(
    creatives: Engine, tmp_path: Path
) -> None:
    assert list_demo_clips(creatives, tmp_path, 9) == 2
    assert list_demo_clips(creatives, tmp_path, 9) == 0
    videos = {each.creative_id: each for each in find_new(creatives, sampling="2fps", account=None, most=9)}
    with av.open(videos["d1"].uri) as clip:
        pictures = [frame.to_ndarray(format="rgb24").mean() for frame in clip.decode(video=0)]
        shape = (clip.streams.video[0].width, clip.streams.video[0].height)
        sounds = len(clip.streams.audio)

    assert set(videos) == {"d1", "d2"}
    assert videos["d1"].bytes == Path(videos["d1"].uri).stat().st_size
    assert shape == (160, 284)
    assert sounds == 1
    # Three seconds, a cut a second: pictures differ more at cuts than between them.
    steps = sorted(abs(b - a) for a, b in pairwise(pictures))
    assert len(pictures) == 36
    assert steps[-2] > 4 * steps[len(steps) // 2]


def test_a_clip_is_drawn_the_same_each_time(creatives: Engine, tmp_path: Path) -> None:
    digests = []
    for name in ("one", "two"):
        list_demo_clips(creatives, tmp_path / name, 9)
        clip = tmp_path / name / "demo" / "d2.mp4"
        digests.append(hashlib.sha256(clip.read_bytes()).hexdigest())

    assert digests[0] == digests[1]


def test_a_video_is_new_until_it_was_looked_at_that_way(creatives: Engine) -> None:
    list_videos(creatives, [("real", "r1", "/v/r1.mp4"), ("demo", "d1", "/v/d1.mp4")])
    seen = {"a": "a" * 64, "b": "b" * 64, "key": "c" * 64}
    with creatives.begin() as connection:
        for statement in LOOKED_AT:
            connection.execute(text(statement), seen)

    assert found(creatives) == ["d1"]
    assert found(creatives, sampling="all") == ["d1", "r1"]
    assert found(creatives, sampling="all", most=1) == ["d1"]
    assert found(creatives, account="real") == []
    assert count_new(creatives, sampling="2fps", account=None) == 1


def test_what_was_tried_in_vain_does_not_take_the_place_of_what_is_new(creatives: Engine) -> None:
    list_videos(creatives, [("demo", "d1", "/v/d1.mp4")])
    with creatives.begin() as connection:
        connection.execute(text("UPDATE visual.creative_video SET reason = 'its file is not there'"))
    list_videos(creatives, [("demo", "d2", "/v/d2.mp4")])

    assert found(creatives, most=1) == ["d2"]
    assert found(creatives) == ["d2", "d1"]


def test_a_failed_video_is_new_again_when_its_file_is_another_one(creatives: Engine, tmp_path: Path) -> None:
    files = {name: tmp_path / f"{name}.mp4" for name in ("d1", "d2", "d3", "r1")}
    for file in files.values():
        file.write_bytes(b"12345")
    fail(creatives, files)
    assert list_changed(creatives, account=None, most_bytes=100) == 0
    files["d1"].write_bytes(b"123456")  # Was replaced by a good one;
    files["d2"].write_bytes(b"")  # by one that is no better;
    files["d3"].unlink()  # by none;
    files["r1"].write_bytes(b"1" * 101)  # by one that is too large.

    assert list_changed(creatives, account="real", most_bytes=100) == 0
    assert list_changed(creatives, account=None, most_bytes=100) == 1
    assert states(creatives) == {"d1": "pending", "d2": "failed", "d3": "failed", "r1": "failed"}
    (video,) = find_new(creatives, sampling="2fps", account=None, most=9)
    assert (video.creative_id, video.bytes, video.sha256) == ("d1", 6, None)


def test_what_is_asked_for_again_is_new_and_its_failure_is_not_known_any_more(
    creatives: Engine, tmp_path: Path
) -> None:
    files = {name: tmp_path / f"{name}.mp4" for name in ("d1", "r1")}
    fail(creatives, files)
    assert [known["reason"] for known in known_videos(creatives, 9)] == ["no good", "no good"]

    assert list_all_again(creatives, ["failed"], "demo") == 1
    assert states(creatives) == {"d1": "pending", "r1": "failed"}
    assert len(known_videos(creatives, 9)) == 1
    assert list_all_again(creatives, ["failed", "done"], None) == 1
    assert known_videos(creatives, 9) == []


def test_sizes_are_told_where_somebody_tells_them(tmp_path: Path) -> None:
    file = tmp_path / "a b.mp4"
    file.write_bytes(b"12345")

    assert file_size(str(file)) == file_size(file.as_uri()) == 5
    assert file_size(f"{file}.no") is None
    assert file_size("no-such-scheme://bucket/a.mp4") is None

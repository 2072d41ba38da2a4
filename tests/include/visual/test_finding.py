"""New videos are found once: by a template, or drawn for the demo; never those that were looked at."""

from __future__ import annotations

import hashlib
from itertools import pairwise
from pathlib import Path

import av
import pytest
from sqlalchemy import Engine, text

from include.db.visual_catalogue import count_new, list_videos
from include.visual.demo_clips import list_demo_clips
from include.visual.finding import file_size, find_new, list_by_template

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


@pytest.fixture
def creatives(db: Engine) -> Engine:
    with db.begin() as connection:
        connection.execute(text(ACCOUNTS))
        connection.execute(text(CREATIVES), {"dna": DNA})
    return db


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


def test_sizes_are_told_where_somebody_tells_them(tmp_path: Path) -> None:
    file = tmp_path / "a b.mp4"
    file.write_bytes(b"12345")

    assert file_size(str(file)) == file_size(file.as_uri()) == 5
    assert file_size(f"{file}.no") is None
    assert file_size("no-such-scheme://bucket/a.mp4") is None

"""Videos are shared out evenly, within both limits, and always the same way."""

from __future__ import annotations

import random

import pytest

from include.visual.shards import Shard, Video, shards_of


def video(name: str, size: int | None = 10, creative: str | None = None) -> Video:
    return Video("acme", creative or name, f"/videos/{name}.mp4", size)


def shared_out(videos: list[Video], **limits: int) -> list[Shard]:
    settings = {"shard_bytes": 100, "shard_videos": 10, "assumed_bytes": 5} | limits
    return shards_of(videos, look="2fps", **settings)


def test_each_video_is_in_one_shard_and_no_shard_is_too_large() -> None:
    dice = random.Random(3)
    videos = [video(str(n), dice.randint(1, 60)) for n in range(200)]
    shards = shared_out(videos)

    assert sorted(each.uri for shard in shards for each in shard.videos) == sorted(v.uri for v in videos)
    assert all(shard.bytes <= 100 and len(shard.videos) <= 10 for shard in shards)
    assert [shard.number for shard in shards] == list(range(1, len(shards) + 1))
    # No more than a quarter above what cannot be done with fewer.
    assert len(shards) <= 1.25 * sum(v.bytes or 0 for v in videos) / 100 + 1


def test_shards_weigh_about_the_same() -> None:
    weights = [
        shard.bytes for shard in shared_out([video(str(n), 30 - n) for n in range(20)], shard_videos=99)
    ]

    assert max(weights) - min(weights) <= 30


def test_a_file_larger_than_a_shard_has_one_of_its_own() -> None:
    shards = shared_out([video("vast", 5_000), video("small", 1)])

    assert sorted(len(shard.videos) for shard in shards) == [1, 1]


def test_creatives_with_the_same_file_stay_together_and_it_counts_once() -> None:
    same = [video("shared", 60, creative=f"c{n}") for n in range(4)]
    shards = shared_out([*same, video("other", 30)])

    assert len(shards) == 1
    assert shards[0].bytes == 90
    assert len(shards[0].videos) == 5


def test_a_file_of_unknown_size_is_assumed_to_have_one() -> None:
    assert shared_out([video("unknown", None)], assumed_bytes=7)[0].bytes == 7


@pytest.mark.parametrize("seed", range(3))
def test_the_key_names_the_work_and_not_the_order(seed: int) -> None:
    videos = [video(str(n)) for n in range(12)]
    keys = {shard.key for shard in shared_out(videos)}
    random.Random(seed).shuffle(videos)

    assert {shard.key for shard in shared_out(videos)} == keys
    others = shards_of(videos, shard_bytes=100, shard_videos=10, assumed_bytes=5, look="all")
    assert not keys & {shard.key for shard in others}


def test_nothing_to_share_out_gives_no_shard() -> None:
    assert shared_out([]) == []

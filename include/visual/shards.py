"""Shares videos out among jobs, so that no job has too much and all have about the same."""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Video:
    """A video that is to be analysed.

    Attributes:
        bytes: size of its file, None where nobody tells.
        sha256: of its content, None while it was never read.
    """

    account_id: str
    creative_id: str
    uri: str
    bytes: int | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class Shard:
    """The videos of one job.

    Attributes:
        key: names the work, not the run: the same videos to be seen the same way are the same shard, so
            that a later run finds what an earlier one had done.
    """

    number: int
    key: str
    videos: tuple[Video, ...]
    bytes: int


def shards_of(
    videos: Iterable[Video], *, shard_bytes: int, shard_videos: int, assumed_bytes: int, look: str
) -> list[Shard]:
    """Share videos out by bytes, the largest first, each to the job that has least.

    Videos of one address stay together, so that it is read once. The order of `videos` does not matter.

    Args:
        shard_bytes: of one shard; a single file may be larger.
        shard_videos: of one shard.
        assumed_bytes: of a file of unknown size.
        look: how they are to be seen; part of each shard's key.

    >>> videos = [Video("a", str(n), f"{n}.mp4", size) for n, size in enumerate((60, 50, 40, 30))]
    >>> made = shards_of(videos, shard_bytes=100, shard_videos=9, assumed_bytes=1, look="2fps")
    >>> [[video.uri for video in shard.videos] for shard in made]
    [['0.mp4', '3.mp4'], ['1.mp4', '2.mp4']]
    """
    by_uri: dict[str, list[Video]] = defaultdict(list)
    for video in sorted(videos, key=lambda each: (each.uri, each.account_id, each.creative_id)):
        by_uri[video.uri].append(video)
    sizes = {
        uri: max((each.bytes for each in same if each.bytes is not None), default=assumed_bytes)
        for uri, same in by_uri.items()
    }
    ordered = sorted(by_uri, key=lambda uri: (-sizes[uri], uri))
    count = max(
        1,
        math.ceil(sum(sizes.values()) / shard_bytes),
        math.ceil(sum(map(len, by_uri.values())) / shard_videos),
    )
    loads: list[list[str]] = [[] for _ in range(count)]
    weights, lengths = [0] * count, [0] * count
    for uri in ordered:
        fitting = [
            at
            for at in range(len(loads))
            if not loads[at]
            or (weights[at] + sizes[uri] <= shard_bytes and lengths[at] + len(by_uri[uri]) <= shard_videos)
        ]
        if not fitting:
            loads.append([])
            weights.append(0)
            lengths.append(0)
            fitting = [len(loads) - 1]
        at = min(fitting, key=lambda each: (weights[each], each))
        loads[at].append(uri)
        weights[at] += sizes[uri]
        lengths[at] += len(by_uri[uri])
    return [
        Shard(number, _key(uris, look), tuple(video for uri in sorted(uris) for video in by_uri[uri]), weight)
        for number, (uris, weight) in enumerate(
            (pair for pair in zip(loads, weights, strict=True) if pair[0]), start=1
        )
    ]


def _key(uris: Sequence[str], look: str) -> str:
    return hashlib.sha256("\n".join([look, *sorted(uris)]).encode()).hexdigest()[:20]

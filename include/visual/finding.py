"""Finds videos that nobody has looked at: lists those of new creatives, and measures their files."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from include.db import visual_catalogue as catalogue
from include.visual.shards import Video

if TYPE_CHECKING:
    from sqlalchemy import Engine

# Who feeds accounts whose creatives have real files.
_REAL = ("meta", "export")
_AT_ONCE = 16


def list_by_template(engine: Engine, template: str | None) -> int:
    """Put the videos of creatives that have none into the catalogue.

    Args:
        template: an address with `{account_id}` and `{creative_id}`; None lists nothing.

    Returns:
        how many are new.
    """
    if template is None:
        return 0
    found = catalogue.creatives_without_video(engine, _REAL)
    return catalogue.list_videos(
        engine, [(a, c, template.format(account_id=a, creative_id=c)) for a, c in found]
    )


def find_new(engine: Engine, *, sampling: str, account: str | None, most: int) -> list[Video]:
    """Videos nobody has looked at with this sampling, with the size of their files where it can be told."""
    listed = catalogue.new_videos(engine, sampling=sampling, account=account, most=most)
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        sizes = list(threads.map(lambda each: each.bytes or file_size(each.uri), listed))
    return [
        Video(each.account_id, each.creative_id, each.uri, size, each.content_hash)
        for each, size in zip(listed, sizes, strict=True)
    ]


def list_changed(engine: Engine, *, account: str | None, most_bytes: int) -> int:
    """Have failed videos looked at again whose file is another one by now, as its size tells.

    Args:
        account: of this account alone; None for all.
        most_bytes: of a file that may be analysed; a larger one need not be tried.

    Returns:
        how many there are.
    """
    failed = catalogue.failed_videos(engine, account)
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        sizes = list(threads.map(lambda each: file_size(each.uri), failed))
    return catalogue.list_again(
        engine,
        [
            each
            for each, size in zip(failed, sizes, strict=True)
            if size is not None and 0 < size <= most_bytes and size != each.bytes
        ],
    )


def file_size(uri: str) -> int | None:
    """Bytes of the file at an address; None where nobody tells, which the job will find out about."""
    parts = urlsplit(uri)
    try:
        if parts.scheme in ("", "file"):
            return Path(unquote(parts.path)).stat().st_size
        import fsspec  # type: ignore[import-untyped]

        files, path = fsspec.core.url_to_fs(uri)
        told = files.size(path)
    # Whatever a file system of somebody else's raises: a size is a hint, and no reason to stop.
    except Exception:
        return None
    return None if told is None else int(told)

"""What a job is given: the manifest of its videos, what is known already, and how a file is reached."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from ml.visual.errors import ManifestUnusable, VideoNotFinished, VideoUnusable
from ml.visual.fingerprint import Fingerprint
from ml.visual.settings import JobSettings


@dataclass(frozen=True)
class ListedVideo:
    """A video of the manifest.

    Attributes:
        uri: a path, `file://...`, or what fsspec can open.
        sha256: of its content, where that is known.
    """

    account_id: str
    creative_id: str
    uri: str
    sha256: str | None = None


@dataclass(frozen=True)
class Manifest:
    """The work of one job."""

    shard: int
    videos: tuple[ListedVideo, ...]
    settings: JobSettings


@dataclass(frozen=True)
class KnownVideo:
    """A video somebody has analysed, or failed to.

    Attributes:
        analysis_key: what is known of it; of a failed one, under which it failed.
        family: digest of its recipe without the precision.
        reason: why it failed; None where it did not.
        duplicate_of: the original it is a copy of.
        looks: what copies are recognised by.
    """

    content_hash: str
    analysis_key: str
    family: str
    reason: str | None = None
    duplicate_of: str | None = None
    looks: Fingerprint | None = None

    @classmethod
    def of_values(cls, values: Mapping[str, Any]) -> KnownVideo:
        """From a row of the file that `--known` names, or a result."""
        looks = values.get("perceptual_hash")
        return cls(
            values["content_hash"],
            values["analysis_key"],
            values["family"],
            values.get("reason"),
            values.get("duplicate_of"),
            Fingerprint.of_values(looks) if looks else None,
        )


def read_manifest(path: Path) -> Manifest:
    """What to do.

    Raises:
        ManifestUnusable: it cannot be read, or something in it is missing.
    """
    values = _json(path, "manifest")
    try:
        videos = tuple(
            ListedVideo(
                str(each["account_id"]), str(each["creative_id"]), str(each["uri"]), each.get("sha256")
            )
            for each in values["videos"]
        )
        return Manifest(int(values["shard"]), videos, JobSettings.of_values(values.get("settings") or {}))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ManifestUnusable(
            f"manifest {path.name}: {type(error).__name__} {error}; it needs shard, and of each of its "
            "videos account_id, creative_id and uri"
        ) from error


def read_known(path: Path | None) -> list[KnownVideo]:
    """What `--known` lists; nothing without it.

    Raises:
        ManifestUnusable: it cannot be read.
    """
    if path is None:
        return []
    try:
        return [KnownVideo.of_values(each) for each in _json(path, "list of known videos")]
    except (KeyError, TypeError, ValueError) as error:
        raise ManifestUnusable(
            f"{path.name}: {type(error).__name__} {error}; each known video needs content_hash, "
            "analysis_key and family, as include.db.visual.known_videos gives them"
        ) from error


@contextmanager
def local_file(video: ListedVideo, most_bytes: int) -> Iterator[Path]:
    """The video's file on this machine, fetched where it is elsewhere.

    Raises:
        VideoUnusable: it is empty, or larger than it may be.
        VideoNotFinished: it is not there, or cannot be fetched now.
    """
    parts = urlsplit(video.uri)
    if parts.scheme in ("", "file"):
        path = Path(video.uri if not parts.scheme else unquote(parts.path))
        try:
            if not path.is_file():
                raise VideoNotFinished("its file is not there: upload it, or correct its address")
            _bytes_allowed(path.stat().st_size, most_bytes)
        except OSError as error:
            raise VideoNotFinished(f"its file cannot be read ({error.strerror})") from error
        yield path
        return
    with tempfile.NamedTemporaryFile(suffix=".video") as scratch:
        _fetch(video.uri, parts.scheme, Path(scratch.name), most_bytes)
        yield Path(scratch.name)


def without_query(uri: str) -> str:
    """The address without what is often a signature.

    >>> without_query("https://host/a.mp4?token=secret#x")
    'https://host/a.mp4'
    """
    parts = urlsplit(uri)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _fetch(uri: str, scheme: str, target: Path, most_bytes: int) -> None:
    import fsspec  # type: ignore[import-untyped]

    try:
        files, path = fsspec.core.url_to_fs(uri)
        size = files.size(path)
        if size is not None:
            _bytes_allowed(size, most_bytes)
        files.get_file(path, str(target))
    except VideoUnusable:
        raise
    except Exception as error:  # Each file system of fsspec has errors of its own.
        raise VideoNotFinished(
            f"its file cannot be fetched over {scheme} now ({type(error).__name__}); it is tried "
            "again next time"
        ) from error
    _bytes_allowed(target.stat().st_size, most_bytes)


def _bytes_allowed(size: int, most_bytes: int) -> None:
    if size == 0:
        raise VideoUnusable("its file is empty: upload it again")
    if size > most_bytes:
        raise VideoUnusable(f"its file has {size:,} bytes, more than {most_bytes:,}: make it smaller")


def _json(path: Path, what: str) -> Any:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ManifestUnusable(f"the {what} {path} cannot be read: {error}") from error

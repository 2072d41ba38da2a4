"""The results of a folder: a file per video and recipe, written once, whole or not at all.

Nothing in them depends on when, where or in how many attempts they were made, so two runs write the same
bytes. Embeddings lie beside the JSON in a `.npz`, which is written first: where the JSON is, everything is.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

FORMAT = 1
SUMMARY = "manifest.json"
DIGITS = 6


class ResultFolder:
    """Where results are written and found again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(".*.tmp"):
            left.unlink(missing_ok=True)

    def path(self, content_hash: str, analysis_key: str) -> Path:
        """The file of a result."""
        return self.folder / f"{content_hash}-{analysis_key[:16]}.json"

    def read(self, content_hash: str, analysis_key: str) -> dict[str, Any] | None:
        """A result, or None where there is none that can be used: then the video is seen anew."""
        path = self.path(content_hash, analysis_key)
        try:
            return read_result(path) if path.is_file() else None
        except ValueError:
            # Damaged on its way here, or of an older form: it must not hold up the shard for ever.
            return None

    def write(self, result: Mapping[str, Any], arrays: Mapping[str, np.ndarray] | None = None) -> None:
        """Keep a result under its `content_hash` and `analysis_key`."""
        path = self.path(result["content_hash"], result["analysis_key"])
        if arrays:
            with _replacing(path.with_suffix(".npz")) as file:
                np.savez(file, **{name: arrays[name] for name in sorted(arrays)})  # type: ignore[arg-type]
        self._write_json(path, {"format": FORMAT, **result})

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """What became of the shard's videos."""
        self._write_json(self.folder / SUMMARY, summary)

    def all(self) -> list[dict[str, Any]]:
        """Every result in the folder, by content."""
        return [read_result(path) for path in result_files(self.folder)]

    @staticmethod
    def _write_json(path: Path, values: Mapping[str, Any]) -> None:
        with _replacing(path) as file:
            file.write(json.dumps(values, sort_keys=True, allow_nan=False, indent=1).encode() + b"\n")


def result_files(folder: Path) -> list[Path]:
    """The results in a folder, and in folders within it."""
    return sorted(path for path in folder.rglob("*-*.json") if len(path.stem) == 64 + 1 + 16)


def read_result(path: Path) -> dict[str, Any]:
    """A result as it was written.

    Raises:
        ValueError: the file is no result, or of another form of this code.
    """
    values = json.loads(path.read_text())
    if values.get("format") != FORMAT:
        raise ValueError(f"{path.name} is of format {values.get('format')}, and this code reads {FORMAT}")
    return values


def read_embeddings(path: Path) -> dict[str, np.ndarray]:
    """`frames` (n, d), `scenes` (s, d; NaN where no frame fell into a scene) and `video` (d,); or nothing."""
    arrays = path.with_suffix(".npz")
    if not arrays.is_file():
        return {}
    with np.load(arrays) as found:
        return {name: found[name] for name in found.files}


@contextlib.contextmanager
def _replacing(path: Path) -> Any:
    """A file that takes its place when all of it is on disk."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with scratch.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)

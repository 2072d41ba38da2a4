"""The embeddings of a video that is not finished, batch by batch: what a killed run leaves to the next.

A batch is a record with a checksum. A record that was being written when the process died is cut off, and the
run goes on after the last whole one.
"""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

_RECORD = struct.Struct("<II16s")


class Checkpoint:
    """Embeddings so far.

    Args:
        path: of the file; what is in it of the same key is kept.
        key: whose embeddings they are.
        dimensions: of an embedding.

    Attributes:
        batches: (n, dimensions) each, in order.
    """

    def __init__(self, path: Path, key: str, dimensions: int) -> None:
        self.path, self._dimensions = path, dimensions
        self._head = json.dumps({"key": key, "dimensions": dimensions}).encode() + b"\n"
        self.batches, whole = self._found()
        self._file = path.open("r+b" if whole else "wb")
        if whole:
            self._file.truncate(whole)
            self._file.seek(whole)
        else:
            self._file.write(self._head)
            self._file.flush()

    def add(self, batch: np.ndarray) -> None:
        """Add a batch; it is with the operating system when this returns, and so survives the process."""
        body = np.ascontiguousarray(batch, dtype="<f4").tobytes()
        digest = hashlib.sha256(body).digest()[:16]
        self._file.write(_RECORD.pack(len(self.batches), len(batch), digest) + body)
        self._file.flush()
        self.batches.append(batch)

    def remove(self) -> None:
        """Forget it: the result is written."""
        self.close()
        self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _found(self) -> tuple[list[np.ndarray], int]:
        """The whole batches of the file, and where they end; 0 where it is another's or absent."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return [], 0
        if not content.startswith(self._head):
            return [], 0
        batches: list[np.ndarray] = []
        at = len(self._head)
        while at + _RECORD.size <= len(content):
            number, count, digest = _RECORD.unpack_from(content, at)
            body = content[at + _RECORD.size : at + _RECORD.size + count * self._dimensions * 4]
            right = number == len(batches) and hashlib.sha256(body).digest()[:16] == digest
            if not right or len(body) != count * self._dimensions * 4:
                break
            batches.append(np.frombuffer(body, "<f4").reshape(count, self._dimensions))
            at += _RECORD.size + len(body)
        return batches, at

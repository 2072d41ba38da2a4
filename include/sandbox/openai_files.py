"""Files uploaded to the pretended OpenAI: kept on disk beside the state, never whole in memory."""

import secrets
import shutil
from pathlib import Path
from typing import IO, Any

from include.sandbox.answers import vendor_id
from include.sandbox.batches import BatchRefused
from include.sandbox.params import VendorError
from include.sandbox.state import SandboxState, VirtualClock

MOST_BYTES = 200_000_000
KEPT_SECONDS = 30 * 24 * 3600.0


class OpenAIFiles:
    """All uploaded files; a deleted one keeps its content for the batches that were made of it."""

    def __init__(self, state: SandboxState, clock: VirtualClock) -> None:
        self._state = state
        self._clock = clock

    def store(self, filename: str, content: IO[bytes]) -> dict[str, Any]:
        """Keep a file.

        Raises:
            BatchRefused: it is larger than 200 MB (413).
        """
        file_id = f"file-{vendor_id('file', secrets.token_hex(16))[8:]}"
        path = self.path_of(file_id)
        with path.open("wb") as target:
            shutil.copyfileobj(content, target, 1 << 20)
        size = path.stat().st_size
        if size > MOST_BYTES:
            path.unlink()
            text = f"File is too large: {size} bytes; the limit is {MOST_BYTES}."
            raise BatchRefused(VendorError(413, "request_too_large", text))
        now = self._clock.now()
        with self._state.writing() as db:
            db.execute(
                "INSERT INTO openai_file (id, filename, bytes, created_at, expires_at)"
                " VALUES (?, ?, ?, ?, ?)",
                (file_id, filename, size, now, now + KEPT_SECONDS),
            )
        return self.get(file_id)

    def get(self, file_id: str) -> dict[str, Any]:
        """A file as the API shows it.

        Raises:
            BatchRefused: there is none (404).
        """
        row = self._state.row("SELECT * FROM openai_file WHERE id = ? AND NOT deleted", (file_id,))
        if row is None:
            raise BatchRefused(VendorError(404, "not_found", f"No such File object: {file_id}"))
        return _wire(row)

    def page(self, limit: int) -> dict[str, Any]:
        """The newest files."""
        rows = self._state.rows(
            "SELECT * FROM openai_file WHERE NOT deleted ORDER BY seq DESC LIMIT ?", (limit,)
        )
        return {"object": "list", "data": [_wire(row) for row in rows], "has_more": False}

    def delete(self, file_id: str) -> dict[str, Any]:
        """Forget a file.

        Raises:
            BatchRefused: there is none (404).
        """
        self.get(file_id)
        with self._state.writing() as db:
            db.execute("UPDATE openai_file SET deleted = 1 WHERE id = ?", (file_id,))
        return {"id": file_id, "object": "file", "deleted": True}

    def path(self, file_id: str) -> Path:
        """Where the content of a file lies, also of a deleted one.

        Raises:
            BatchRefused: there never was such a file (400).
        """
        if self._state.row("SELECT 1 FROM openai_file WHERE id = ?", (file_id,)) is None:
            text = f"Invalid 'input_file_id': no such file {file_id}."
            raise BatchRefused(VendorError(400, "invalid_request_error", text, "input_file_id"))
        return self.path_of(file_id)

    def path_of(self, file_id: str) -> Path:
        """Where the content of a file with this id would lie."""
        return self._state.files / file_id


def _wire(row: Any) -> dict[str, Any]:
    return {
        "object": "file",
        "id": row["id"],
        "purpose": "batch",
        "filename": row["filename"],
        "bytes": row["bytes"],
        "created_at": int(row["created_at"]),
        "expires_at": int(row["expires_at"]),
        "status": "processed",
        "status_details": None,
    }

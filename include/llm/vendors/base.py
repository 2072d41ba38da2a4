"""What the batches of every vendor have in common, so that there is one way to submit, wait and collect.

A vendor is a class with the methods of `BatchVendor`. It translates: our requests into the body the vendor
takes, its batches into `VendorBatch` and `BatchProgress`, its result lines into `Result` or `Unreadable`, and
what its SDK raises into our own errors.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import IO, Any, Protocol, runtime_checkable

from include.db.llm_batches import BatchRow
from include.llm.errors import VendorNotConnected
from include.llm.prices import Usage


@dataclass(frozen=True)
class VendorBatch:
    """A batch as a vendor lists it.

    Attributes:
        size: how many requests it carries; `None` where the vendor does not say yet.
        intent: the key we sent along, where the vendor takes one.
        readable: whether its results can be read.
    """

    vendor_batch_id: str
    created_at: datetime
    size: int | None
    intent: str | None
    readable: bool


@dataclass(frozen=True)
class BatchProgress:
    """One look at a vendor batch.

    Attributes:
        status: in the vendor's own words.
        counts: requests by what became of them, in the vendor's own words.
        archived: the vendor has thrown the results away.
        file_ids: where the results are, for vendors that keep them in files: output and errors.
        failure: why the vendor worked on none of it, where that is so.
        bad_lines: lines of the input (from 1) that the vendor refused, with the reason.
    """

    vendor_batch_id: str
    status: str
    counts: Mapping[str, int]
    ended: bool
    ended_at: datetime | None
    archived: bool = False
    file_ids: tuple[str | None, str | None] = (None, None)
    failure: str | None = None
    bad_lines: Mapping[int, str] = field(default_factory=dict)

    @property
    def told(self) -> str:
        """For the log of the task that waits."""
        counts = ", ".join(f"{count:,} {name}" for name, count in self.counts.items() if count)
        return f"{self.status} ({counts or 'no counts yet'})"


@dataclass(frozen=True)
class Result:
    """What a line says of one request.

    Attributes:
        outcome: `succeeded`, `errored`, `expired` or `cancelled`.
        passing: whether asking again may help.
        text: the answer, where there is one and the model came to its end.
        value: the answer where it is not a text, such as the vectors of an embedding.
        flaw: why an answer is of no use, or what went wrong.
        usage, raw_usage: tokens, where the vendor charges for it.
    """

    custom_id: str
    outcome: str
    passing: bool = False
    text: str | None = None
    value: dict[str, Any] | None = None
    flaw: str | None = None
    usage: Usage | None = None
    raw_usage: dict[str, Any] | None = None


@dataclass(frozen=True)
class Unreadable:
    """A line that says nothing we can use."""

    line: str
    reason: str

    @property
    def line_hash(self) -> str:
        """Tells lines apart, so that the same one is kept once."""
        return hashlib.sha256(self.line.encode("utf-8", "replace")).hexdigest()


@runtime_checkable
class BatchVendor(Protocol):
    """A vendor's Batch API.

    Attributes:
        name: as `provider` has it in our tables.
        kept: how long results stay, counted from the creation of the batch.
        intent_is_kept: whether a batch carries our key, so that one found by it is ours for certain.
    """

    name: str
    kept: timedelta
    intent_is_kept: bool

    def body(self, batch: BatchRow, requests: Iterable[tuple[str, dict[str, Any]]]) -> Iterator[bytes]:
        """The bytes that carry (custom_id, params) to the vendor, in pieces."""

    def upload(self, batch: BatchRow, spool: IO[bytes]) -> str | None:
        """Bring the body to the vendor ahead of the batch; `None` where it travels with the batch.

        It costs nothing and may be done again.
        """

    def has_upload(self, file_id: str) -> bool:
        """Whether an upload is still there."""

    def create(self, batch: BatchRow, spool: IO[bytes], file_id: str | None) -> VendorBatch:
        """Create the batch: one request on the wire, never repeated here.

        Raises:
            VendorSaidNo: it certainly was not taken.
            NoUsableAnswer: it may have been.
        """

    def recent(self, since: datetime) -> Iterator[VendorBatch]:
        """Batches created since, newest first."""

    def look(self, vendor_batch_id: str) -> BatchProgress:
        """Look once.

        Raises:
            BatchUnknown: the vendor does not know it.
            VendorBusy, VendorRefused: there was no answer, or a refusal.
        """

    def cancel(self, vendor_batch_id: str) -> BatchProgress:
        """Ask to stop. Being too late is no error."""

    def results(self, progress: BatchProgress, endpoint: str) -> Iterator[Result | Unreadable]:
        """What the lines of the results of an ended batch say, as they come over the wire.

        Raises:
            ResultsCutShort: the connection broke.
            ResultsGone: the vendor has thrown them away.
        """

    def tidy(self, file_ids: Iterable[str | None]) -> None:
        """Remove uploads and results that are of no more use; failing at it is no error."""


class AsyncBatchVendor(Protocol):
    """What the triggerer needs of a vendor, in an event loop. Use it as an async context manager."""

    async def __aenter__(self) -> "AsyncBatchVendor":
        """Connect."""

    async def __aexit__(self, *error: object) -> None:
        """Let go."""

    async def look(self, vendor_batch_id: str) -> BatchProgress:
        """As `BatchVendor.look`."""

    async def cancel(self, vendor_batch_id: str) -> BatchProgress:
        """As `BatchVendor.cancel`."""


class BatchVendors:
    """The vendors that are connected, by name. Closing it closes their clients.

    Args:
        missing: names of vendors that are not connected, with the reason.
    """

    def __init__(self, vendors: Iterable[BatchVendor], missing: Mapping[str, str] | None = None) -> None:
        self._vendors = {vendor.name: vendor for vendor in vendors}
        self._missing = dict(missing or {})

    def __getitem__(self, name: str) -> BatchVendor:
        """The vendor called `name`.

        Raises:
            VendorNotConnected: there is no such connection.
        """
        if name not in self._vendors:
            why = self._missing.get(name, f"connection {name}_default is not set")
            raise VendorNotConnected(f"{name}: {why}; set it up and clear the task, nothing was lost")
        return self._vendors[name]

    @property
    def names(self) -> Sequence[str]:
        """Those that are connected."""
        return tuple(self._vendors)

    def __enter__(self) -> "BatchVendors":
        return self

    def __exit__(self, *error: object) -> None:
        for vendor in self._vendors.values():
            if isinstance(vendor, AbstractContextManager):
                vendor.__exit__(None, None, None)


def lines_of(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Lines of a stream without their ends, empty ones left out; never more than one in memory.

    The SDKs' own decoders give up at the first line that is not JSON and take the rest with it.
    """
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        yield from (line for line in whole if line.strip())
    if rest.strip():
        yield rest


def storable(text: str) -> str:
    """The text without what PostgreSQL cannot store: NUL and halves of characters."""
    return text.encode("utf-8", "replace").decode().replace("\0", "")


def in_text(line: bytes) -> str:
    """A line as text that can be kept."""
    return line.decode("utf-8", "replace").replace("\0", "\N{REPLACEMENT CHARACTER}")

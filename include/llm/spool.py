"""The body of a batch on its way to the vendor: written to a temporary file a few hundred requests at a time.

A batch can be 256 MB; it is never held in memory.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from sqlalchemy import Engine

from include.db import llm_batches as sql
from include.db.llm_batches import BatchRow
from include.llm.vendors import BatchVendor

IN_MEMORY_BYTES = 8_000_000


@contextmanager
def spooled_body(engine: Engine, vendor: BatchVendor, batch: BatchRow) -> Iterator[IO[bytes]]:
    """What carries the requests of a batch, as a file to read from its start; small ones stay in memory."""
    with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_BYTES) as spool:
        with engine.connect() as conn:
            for piece in vendor.body(batch, sql.batch_requests(conn, batch.batch_id)):
                spool.write(piece)
        spool.seek(0)
        yield spool

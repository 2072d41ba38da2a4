"""The catalogue of videos: which creatives have which, and which of these nobody has looked at yet."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, text

_WITHOUT_VIDEO = """
SELECT creative.account_id, creative.creative_id
FROM ads.creative JOIN ads.account USING (account_id)
WHERE creative.format LIKE '%video%' AND account.source = ANY(:sources) AND NOT EXISTS (
    SELECT FROM visual.creative_video AS listed
    WHERE (listed.account_id, listed.creative_id) = (creative.account_id, creative.creative_id)
)
ORDER BY 1, 2
"""

_TO_BE_DRAWN = """
SELECT creative.account_id, creative.creative_id, creative.format, creative.duration_s, creative.dna
FROM ads.creative JOIN ads.account USING (account_id)
WHERE creative.format LIKE '%video%' AND account.source = 'sandbox'
ORDER BY md5(creative.account_id || ' ' || creative.creative_id)
LIMIT :most
"""

_LIST = """
INSERT INTO visual.creative_video (account_id, creative_id, uri)
SELECT row->>'account_id', row->>'creative_id', row->>'uri'
FROM jsonb_array_elements(CAST(:rows AS jsonb)) AS row
ON CONFLICT DO NOTHING
"""

# New is what has not been looked at, and what has, but never this way. Of a copy, the original counts.
_NEW = """
FROM visual.creative_video AS listed
LEFT JOIN visual.video AS video USING (content_hash)
WHERE (CAST(:account AS text) IS NULL OR listed.account_id = :account)
  AND (listed.state = 'pending' OR (listed.state = 'done' AND NOT EXISTS (
    SELECT FROM visual.analysis AS seen
    WHERE seen.content_hash IN (video.content_hash, video.duplicate_of) AND seen.sampling = :sampling
  )))
"""

# Of what failed, neither the content nor the verdict on it holds any more: the file is read anew. What is
# done keeps its content, so that a job that knows it need not read the file.
_LIST_AGAIN = """
WITH asked AS (
    SELECT account_id, creative_id, uri, state, content_hash FROM visual.creative_video WHERE {which}
), forgotten AS (
    UPDATE visual.video SET state = 'pending', reason = NULL
    WHERE state = 'failed' AND content_hash IN (SELECT content_hash FROM asked WHERE state = 'failed')
)
UPDATE visual.creative_video AS listed
SET state = 'pending', reason = NULL,
    content_hash = CASE listed.state WHEN 'done' THEN listed.content_hash END,
    bytes = CASE listed.state WHEN 'done' THEN listed.bytes END
FROM asked
WHERE (listed.account_id, listed.creative_id, listed.uri) = (asked.account_id, asked.creative_id, asked.uri)
"""
_OF_STATE = "state = ANY(:states) AND (CAST(:account AS text) IS NULL OR account_id = :account)"
_NAMED = """state = 'failed' AND (account_id, creative_id, uri) IN (
    SELECT row->>'account_id', row->>'creative_id', row->>'uri'
    FROM jsonb_array_elements(CAST(:rows AS jsonb)) AS row)"""


@dataclass(frozen=True)
class DrawnCreative:
    """What a clip of a simulated creative is drawn from."""

    account_id: str
    creative_id: str
    format: str
    duration_s: float
    dna: Mapping[str, Any]


@dataclass(frozen=True)
class ListedVideo:
    """A video of the catalogue."""

    account_id: str
    creative_id: str
    uri: str
    content_hash: str | None
    bytes: int | None


def creatives_without_video(engine: Engine, sources: Iterable[str]) -> list[tuple[str, str]]:
    """Account and creative of all that move and have no video in the catalogue.

    Args:
        sources: who feeds the accounts: `meta`, `export`, `sandbox`.
    """
    with engine.connect() as connection:
        rows = connection.execute(text(_WITHOUT_VIDEO), {"sources": list(sources)})
        return [(row.account_id, row.creative_id) for row in rows]


def creatives_to_draw(engine: Engine, most: int) -> list[DrawnCreative]:
    """Some creatives of the simulated world, always the same ones."""
    with engine.connect() as connection:
        return [
            DrawnCreative(
                row.account_id, row.creative_id, row.format, float(row.duration_s or 0), row.dna or {}
            )
            for row in connection.execute(text(_TO_BE_DRAWN), {"most": most})
        ]


def list_videos(engine: Engine, videos: Iterable[tuple[str, str, str]]) -> int:
    """Put videos into the catalogue: account, creative, URI. Those that are there are left as they are.

    Returns:
        how many are new.
    """
    rows = [{"account_id": a, "creative_id": c, "uri": uri} for a, c, uri in videos]
    with engine.begin() as connection:
        return int(connection.execute(text(_LIST), {"rows": json.dumps(rows)}).rowcount)


def new_videos(engine: Engine, *, sampling: str, account: str | None, most: int) -> list[ListedVideo]:
    """Videos nobody has looked at this way, those that wait longest first.

    Those that were tried already, and whose file was not there, come last: they must not take the place of
    new ones night after night.

    Args:
        account: of this account alone; None for all.
    """
    query = text(
        "SELECT listed.account_id, listed.creative_id, listed.uri, listed.content_hash, listed.bytes"
        f"{_NEW} ORDER BY listed.reason IS NOT NULL, listed.added_at, listed.account_id, listed.creative_id,"
        " listed.uri LIMIT :most"
    )
    with engine.connect() as connection:
        rows = connection.execute(query, {"sampling": sampling, "account": account, "most": most})
        return [
            ListedVideo(row.account_id, row.creative_id, row.uri, row.content_hash, row.bytes) for row in rows
        ]


def count_new(engine: Engine, *, sampling: str, account: str | None) -> int:
    """How many videos wait to be looked at this way."""
    with engine.connect() as connection:
        counted = connection.execute(
            text(f"SELECT count(*) {_NEW}"), {"sampling": sampling, "account": account}
        )
        return int(counted.scalar_one())


def failed_videos(engine: Engine, account: str | None) -> list[ListedVideo]:
    """Videos that could not be analysed.

    Args:
        account: of this account alone; None for all.
    """
    query = text("""
        SELECT account_id, creative_id, uri, content_hash, bytes FROM visual.creative_video
        WHERE state = 'failed' AND (CAST(:account AS text) IS NULL OR account_id = :account) ORDER BY 1, 2, 3
    """)
    with engine.connect() as connection:
        return [ListedVideo(**row) for row in connection.execute(query, {"account": account}).mappings()]


def list_again(engine: Engine, videos: Iterable[ListedVideo]) -> int:
    """Have these failed videos looked at as if they were new; returns how many."""
    rows = [{"account_id": v.account_id, "creative_id": v.creative_id, "uri": v.uri} for v in videos]
    with engine.begin() as connection:
        query = text(_LIST_AGAIN.format(which=_NAMED))
        return connection.execute(query, {"rows": json.dumps(rows)}).rowcount


def list_all_again(engine: Engine, states: Iterable[str], account: str | None) -> int:
    """Have all videos of these states looked at as if they were new; returns how many.

    Args:
        states: `failed`, `done`.
        account: of this account alone; None for all.
    """
    with engine.begin() as connection:
        query = text(_LIST_AGAIN.format(which=_OF_STATE))
        return connection.execute(query, {"states": list(states), "account": account}).rowcount

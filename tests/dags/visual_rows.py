"""What the visual analysis left in the database, all but when it was written: two runs are compared by it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, text

QUERIES = {
    "videos": "SELECT content_hash, bytes, duration_s, fps, width, height, frames, has_audio, state, reason,"
    " duplicate_of, perceptual_hash::text FROM visual.video ORDER BY 1",
    "analyses": "SELECT analysis_key, content_hash, recipe, features::text, embedding::text, frames,"
    " forwards, decodes FROM visual.analysis ORDER BY 1",
    "scenes": "SELECT analysis_key, scene_number, start_s, end_s, visual_tags, emotion_score, features::text,"
    " embedding::text FROM visual.scene ORDER BY 1, 2",
    "creatives": "SELECT account_id, creative_id, uri, content_hash, bytes, state, reason"
    " FROM visual.creative_video ORDER BY 1, 2, 3",
}


def visual_rows(db: Engine) -> dict[str, list[tuple[Any, ...]]]:
    """The rows of the four tables."""
    with db.connect() as connection:
        return {
            name: [tuple(row) for row in connection.execute(text(query))] for name, query in QUERIES.items()
        }

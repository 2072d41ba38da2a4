"""SQL of the `visual` context: what the visual job's files say goes in, what is known already comes out.

Everything is keyed by content and recipe, and written only where it is not there, so loading a folder
twice, or two folders with the same videos at once, leaves the rows of one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, text

from include.errors import PermanentError
from ml.visual.results import SUMMARY, read_embeddings, read_result, result_files

if TYPE_CHECKING:
    import numpy as np

    from ml.visual.settings import Copies


class VisualResultUnusable(PermanentError):
    """A file the job wrote cannot be read, or speaks of a video that is not there."""


@dataclass(frozen=True)
class LoadedResults:
    """Rows that are new or changed.

    Attributes:
        creatives: rows of the catalogue that were told what became of their video.
        linked: videos that a job took for new, and that are copies of one another job saw the same night.
    """

    videos: int = 0
    analyses: int = 0
    scenes: int = 0
    creatives: int = 0
    linked: int = 0


_VIDEO = text("""
    INSERT INTO visual.video AS known (content_hash, bytes, duration_s, fps, width, height, frames, has_audio,
        state, reason, duplicate_of, perceptual_hash)
    VALUES (:content_hash, :bytes, :duration_s, :fps, :width, :height, :frames, :has_audio, :state, :reason,
        :duplicate_of, CAST(:perceptual_hash AS jsonb))
    ON CONFLICT (content_hash) DO UPDATE
    SET bytes = EXCLUDED.bytes, duration_s = EXCLUDED.duration_s, fps = EXCLUDED.fps, width = EXCLUDED.width,
        height = EXCLUDED.height, frames = EXCLUDED.frames, has_audio = EXCLUDED.has_audio,
        state = EXCLUDED.state, reason = EXCLUDED.reason, perceptual_hash = EXCLUDED.perceptual_hash,
        -- Whoever was analysed in full is nobody's copy any more.
        duplicate_of = EXCLUDED.duplicate_of
    -- What was seen once stays seen: a failure does not undo it, nor does a copy undo an analysis.
    WHERE known.state = 'pending' OR known.state = 'failed' AND EXCLUDED.state = 'done'
       OR known.duplicate_of IS NOT NULL AND EXCLUDED.duplicate_of IS NULL AND EXCLUDED.state = 'done'
""")

_ANALYSIS = text("""
    INSERT INTO visual.analysis (analysis_key, content_hash, recipe, model, preprocessing, sampling,
    precision,
        features, embedding, frames, forwards, decodes)
    VALUES (:analysis_key, :content_hash, :recipe, :model, :preprocessing, :sampling, :precision,
        CAST(:features AS jsonb), CAST(:embedding AS vector), :frames, :forwards, :decodes)
    ON CONFLICT DO NOTHING
""")

_SCENES = text("""
    INSERT INTO visual.scene (analysis_key, scene_number, start_s, end_s, visual_tags, emotion_score,
    features,
        embedding)
    SELECT :analysis_key, row.scene_number, row.start_s, row.end_s, row.visual_tags, row.emotion_score,
           row.features, CAST(row.embedding AS vector)
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS row(scene_number integer, start_s float8, end_s float8,
        visual_tags text[], emotion_score float8, features jsonb, embedding text)
    ON CONFLICT DO NOTHING
""")

_CREATIVES = text("""
    UPDATE visual.creative_video AS listed
    SET content_hash = row.content_hash, state = row.state, reason = row.reason,
        bytes = coalesce((SELECT bytes FROM visual.video WHERE content_hash = row.content_hash), listed.bytes)
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS row(account_id text, creative_id text, uri text,
        content_hash text, state text, reason text)
    WHERE (listed.account_id, listed.creative_id, listed.uri) = (row.account_id, row.creative_id, row.uri)
      AND (listed.content_hash, listed.state, listed.reason)
          IS DISTINCT FROM (row.content_hash, row.state, row.reason)
      -- The video's own row is there: a file that could not be read has none.
      AND (row.content_hash IS NULL OR EXISTS (
          SELECT FROM visual.video WHERE content_hash = row.content_hash))
""")

# Analyses, copies and failures, the newest videos first: what need not be done again, and what copies are
# recognised by. The family of a copy is that of its original's analyses.
_KNOWN = text("""
    SELECT video.content_hash, seen.analysis_key, seen.model, seen.preprocessing, seen.sampling,
    seen.precision,
           CASE WHEN video.duplicate_of IS NULL THEN video.perceptual_hash END AS perceptual_hash,
           video.duplicate_of, video.state, video.reason
    FROM (SELECT * FROM visual.video WHERE state <> 'pending'
          ORDER BY first_seen_at DESC, content_hash LIMIT :most) AS video
    LEFT JOIN visual.analysis AS seen ON seen.content_hash IN (video.content_hash, video.duplicate_of)
    WHERE video.state = 'failed' OR seen.analysis_key IS NOT NULL
    ORDER BY video.first_seen_at, video.content_hash, seen.analysis_key
""")


# Originals of about that length, analysed the same way but for the precision.
_ORIGINALS = text("""
    SELECT content_hash, perceptual_hash FROM visual.video AS video
    WHERE state = 'done' AND duplicate_of IS NULL AND perceptual_hash IS NOT NULL
      AND content_hash <> :content_hash
      AND abs(duration_s - :duration_s)
          <= greatest(:margin_s, :margin_share * greatest(duration_s, :duration_s))
      AND EXISTS (SELECT FROM visual.analysis AS seen
                  WHERE seen.content_hash = video.content_hash AND seen.model = :model
                    AND seen.preprocessing = :preprocessing AND seen.sampling = :sampling)
      -- Whoever is an original keeps what is seen in it.
      AND NOT EXISTS (SELECT FROM visual.video AS mine
                      WHERE mine.content_hash = :content_hash AND mine.state = 'done'
                        AND mine.duplicate_of IS NULL)
    ORDER BY first_seen_at, content_hash
""")


def load_results(engine: Engine, folder: Path, copies: Copies) -> LoadedResults:
    """Load what jobs wrote below a folder: one transaction per video, originals before their copies.

    Jobs of one night do not know of one another's videos, so copies are looked for once more. Rows that are
    there stay as they are, so loading again changes nothing.

    Raises:
        VisualResultUnusable: a file is damaged, or a copy's original is neither here nor in the database.
    """
    results = [_read(path) for path in result_files(folder)]
    total = LoadedResults()
    for path, result in sorted(results, key=lambda each: (each[1]["duplicate_of"] is not None, each[0].name)):
        with engine.begin() as connection:
            total = _sum(total, _load(connection, path, _linked(connection, result, copies)))
    for path in sorted(folder.rglob(SUMMARY)):
        with engine.begin() as connection:
            total = _sum(total, LoadedResults(creatives=_tell_creatives(connection, path)))
    return total


def known_videos(engine: Engine, most: int) -> list[dict[str, Any]]:
    """What the job's `--known` wants: of every analysed, copied or failed video what is known of it.

    Args:
        most: videos, the newest first.
    """
    from ml.visual.keys import Precision, Recipe

    known = []
    with engine.connect() as connection:
        for row in connection.execute(_KNOWN, {"most": most}):
            if row.analysis_key is None:
                known.append(
                    {"content_hash": row.content_hash, "analysis_key": "", "family": "", "reason": row.reason}
                )
                continue
            recipe = Recipe(row.model, row.preprocessing, row.sampling, Precision(row.precision))
            known.append(
                {
                    "content_hash": row.content_hash,
                    "analysis_key": recipe.key(row.content_hash),
                    "family": recipe.family,
                    "duplicate_of": row.duplicate_of,
                    "perceptual_hash": row.perceptual_hash,
                }
            )
    return known


def nearest_scenes(
    engine: Engine, analysis_key: str, scene_number: int, most: int
) -> list[tuple[str, int, float]]:
    """Scenes that look most like one: analysis, number, cosine; of the same model, and of other videos."""
    query = text("""
        SELECT other.analysis_key, other.scene_number, 1 - (other.embedding <=> mine.embedding) AS likeness
        FROM visual.scene AS mine
        JOIN visual.analysis AS of_mine ON of_mine.analysis_key = mine.analysis_key
        JOIN visual.analysis AS of_other
          ON of_other.model = of_mine.model AND of_other.content_hash <> of_mine.content_hash
        JOIN visual.scene AS other ON other.analysis_key = of_other.analysis_key
        WHERE mine.analysis_key = :analysis_key AND mine.scene_number = :scene_number
          AND other.embedding IS NOT NULL AND mine.embedding IS NOT NULL
        ORDER BY other.embedding <=> mine.embedding, other.analysis_key, other.scene_number LIMIT :most
    """)
    values = {"analysis_key": analysis_key, "scene_number": scene_number, "most": most}
    with engine.connect() as connection:
        return [
            (row.analysis_key, row.scene_number, float(row.likeness))
            for row in connection.execute(query, values)
        ]


def _read(path: Path) -> tuple[Path, dict[str, Any]]:
    try:
        return path, read_result(path)
    except (OSError, ValueError) as error:
        raise VisualResultUnusable(
            f"visual result {path.name} cannot be read ({error}): remove it and run the job again"
        ) from error


def _linked(connection: Connection, result: dict[str, Any], copies: Copies) -> dict[str, Any]:
    """The result, as a copy where it is one of a video in the database."""
    if (of := result["duplicate_of"]) is not None:
        query = text("SELECT duplicate_of FROM visual.video WHERE content_hash = :of")
        return {**result, "duplicate_of": connection.scalar(query, {"of": of}) or of}
    looks = result["perceptual_hash"]
    if result["state"] != "done" or looks is None:
        return result
    from ml.visual.fingerprint import Fingerprint, find_original

    recipe = result["recipe"]
    values = {
        "content_hash": result["content_hash"], "duration_s": result["video"]["duration_s"],
        "margin_s": copies.duration_s, "margin_share": copies.duration_share,
        **{name: recipe[name] for name in ("model", "preprocessing", "sampling")},
    }  # fmt: skip
    known = (
        (row.content_hash, Fingerprint.of_values(row.perceptual_hash))
        for row in connection.execute(_ORIGINALS, values)
    )
    return {**result, "duplicate_of": find_original(Fingerprint.of_values(looks), known, copies)}


def _load(connection: Connection, path: Path, result: Mapping[str, Any]) -> LoadedResults:
    original = result["duplicate_of"]
    if original is not None and not _is_there(connection, original):
        raise VisualResultUnusable(
            f"visual result {path.name} is a copy of {original[:16]}, which is neither in the folder nor "
            "in the database: load the results it was found in first"
        )
    video = result["video"] or {}
    looks = result["perceptual_hash"]
    names = ("duration_s", "fps", "width", "height", "frames", "has_audio")
    values = {
        "content_hash": result["content_hash"], "bytes": result["bytes"], "state": result["state"],
        "reason": result["reason"], "duplicate_of": original,
        "perceptual_hash": None if looks is None else json.dumps(looks),
        **{name: video.get(name) for name in names},
    }  # fmt: skip
    videos = connection.execute(_VIDEO, values).rowcount
    if result["state"] != "done" or original is not None:
        # A job tells nothing of the features of what it knew to be a copy.
        return LoadedResults(videos=videos, linked=int(bool(result.get("features"))))
    arrays = read_embeddings(path)
    recipe = result["recipe"]
    analyses = connection.execute(
        _ANALYSIS,
        {
            "analysis_key": result["analysis_key"], "content_hash": result["content_hash"],
            "recipe": recipe["digest"], "model": recipe["model"], "preprocessing": recipe["preprocessing"],
            "sampling": recipe["sampling"], "precision": recipe["precision"],
            "features": json.dumps(result["features"]),
            "embedding": _vector(arrays["video"]) if arrays else None,
            **{name: result[name] for name in ("frames", "forwards", "decodes")},
        },
    ).rowcount  # fmt: skip
    rows = [
        {**scene, "embedding": _vector(arrays["scenes"][scene["scene_number"]]) if arrays else None}
        for scene in result["scenes"]
    ]
    scenes = connection.execute(_SCENES, {"analysis_key": result["analysis_key"], "rows": json.dumps(rows)})
    return LoadedResults(videos, analyses, scenes.rowcount)


def _tell_creatives(connection: Connection, path: Path) -> int:
    """Tell the catalogue what a job's summary says of each video; returns how many rows changed."""
    try:
        videos: Iterable[Mapping[str, Any]] = json.loads(path.read_text()).get("videos", ())
    except (OSError, ValueError, AttributeError) as error:
        raise VisualResultUnusable(f"the job's summary {path} cannot be read ({error})") from error
    rows = [
        # What failed this time only is tried again; the reason stays to be read.
        {**each, "state": "pending" if each["again"] else each["state"]}
        for each in videos
    ]
    return connection.execute(_CREATIVES, {"rows": json.dumps(rows)}).rowcount


def _is_there(connection: Connection, content_hash: str) -> bool:
    query = text("SELECT EXISTS (SELECT FROM visual.video WHERE content_hash = :content_hash)")
    return bool(connection.execute(query, {"content_hash": content_hash}).scalar_one())


def _vector(row: np.ndarray) -> str | None:
    """As pgvector reads it; None where no frame fell into the scene."""
    import numpy as np

    return f"[{','.join(map(repr, row.tolist()))}]" if np.isfinite(row).all() else None


def _sum(one: LoadedResults, other: LoadedResults) -> LoadedResults:
    return LoadedResults(
        one.videos + other.videos, one.analyses + other.analyses, one.scenes + other.scenes,
        one.creatives + other.creatives, one.linked + other.linked,
    )  # fmt: skip

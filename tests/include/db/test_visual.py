"""What the visual job wrote is in the database, once, however often it is loaded."""

import json
from pathlib import Path

import pytest
from sqlalchemy import text

from include.config import thresholds
from include.db.visual import VisualResultUnusable, known_videos, load_results, nearest_scenes
from include.db.visual_catalogue import list_videos
from ml.visual import job
from ml.visual.settings import Copies, JobSettings
from tests.ml.visual import clips
from tests.ml.visual.clips import Scene
from tests.ml.visual.conftest import Job, network

COPIES = Copies()
TABLES = ("video", "creative_video", "analysis", "scene")


@pytest.fixture(scope="module")
def shard(tmp_path_factory) -> Job:
    """A finished job: a video, a copy, the same file again, another one, words, and a file not there."""
    folder = tmp_path_factory.mktemp("shard")
    story = clips.write(folder / "story.mp4", [Scene(11, 1.2), Scene(12, 1.4), Scene(13, 1.4)])
    copy = clips.transcode(story, folder / "copy.mp4", width=112, height=200)
    other = clips.write(folder / "other.mp4", [Scene(31, 1.0), Scene(32, 1.0)])
    letter = folder / "letter.mp4"
    letter.write_text("no video")
    work = Job(folder)
    model = network(folder / "model", "test_resnet", 96, 96)
    work.run([story, copy, story, other, letter, folder / "absent.mp4"], "--model", str(model.folder))
    return work


@pytest.fixture
def catalogue(db, shard):
    """The creatives of the manifest, and their videos, nobody of which was looked at."""
    with db.begin() as connection:
        connection.execute(
            text("INSERT INTO ads.account (account_id, name, source) VALUES ('a1', 'A', 'meta')")
        )
        connection.execute(
            text(
                "INSERT INTO ads.creative (account_id, creative_id) "
                "SELECT 'a1', 'c' || n FROM generate_series(0, 5) n"
            )
        )
    videos = json.loads((shard.folder / "manifest.json").read_text())["videos"]
    list_videos(db, [(each["account_id"], each["creative_id"], each["uri"]) for each in videos])
    return db


def rows(engine):
    """Every row, without the times at which they were written."""
    with engine.connect() as connection:
        return {
            table: sorted(
                json.dumps(
                    {
                        k: str(v)
                        for k, v in row.items()
                        if k not in ("first_seen_at", "created_at", "added_at")
                    },
                    sort_keys=True,
                )
                for row in connection.execute(text(f"SELECT * FROM visual.{table}")).mappings()
            )
            for table in TABLES
        }


def one(engine, query, **values):
    with engine.connect() as connection:
        return connection.execute(text(query), values).one()


def test_results_are_loaded_and_the_catalogue_is_told(catalogue, shard):
    loaded = load_results(catalogue, shard.out, COPIES)
    states = [
        tuple(row)
        for row in catalogue.connect().execute(
            text("SELECT creative_id, state, reason IS NOT NULL FROM visual.creative_video ORDER BY 1")
        )
    ]

    assert (loaded.videos, loaded.analyses, loaded.scenes, loaded.creatives) == (4, 2, 5, 6)
    assert states == [
        ("c0", "done", False),
        ("c1", "done", False),
        ("c2", "done", False),
        ("c3", "done", False),
        ("c4", "failed", True),
        ("c5", "pending", True),
    ]
    scene = one(
        catalogue,
        "SELECT visual_tags, emotion_score, vector_dims(embedding) AS dims, "
        "features->>'brightness' AS bright FROM visual.scene LIMIT 1",
    )
    assert (scene.visual_tags, scene.emotion_score, scene.dims) == (None, None, 96)
    assert 0 < float(scene.bright) < 1


def test_a_copy_has_what_was_seen_in_the_original(catalogue, shard):
    load_results(catalogue, shard.out, COPIES)
    seen = (
        catalogue.connect()
        .execute(
            text(
                "SELECT creative_id, content_hash = seen_as AS own, analysis_key "
                "FROM visual.creative_analysis ORDER BY 1"
            )
        )
        .all()
    )

    assert [(row.creative_id, row.own) for row in seen] == [
        ("c0", True),
        ("c1", False),
        ("c2", True),
        ("c3", True),
    ]
    assert len({row.analysis_key for row in seen[:3]}) == 1


def test_copies_that_two_jobs_of_a_night_took_for_new_are_linked(catalogue, shard, tmp_path):
    videos = json.loads((shard.folder / "manifest.json").read_text())["videos"]
    story, copy, other = (Path(videos[n]["uri"]) for n in (0, 1, 3))
    again = clips.transcode(copy, tmp_path / "again.mp4", width=120, height=214)
    jobs = []
    for name, seen in (("one", [story, other]), ("two", [copy, again])):
        (tmp_path / name).mkdir()
        jobs.append(Job(tmp_path / name))
        jobs[-1].run(seen, "--model", str(shard.folder / "model"))
    first, second = (load_results(catalogue, each.out, COPIES) for each in jobs)
    before = rows(catalogue)
    repeated = [load_results(catalogue, each.out, COPIES) for each in reversed(jobs)]

    assert (first.analyses, first.linked) == (2, 0)
    assert (second.videos, second.analyses, second.scenes, second.linked) == (2, 0, 0, 1)
    assert rows(catalogue) == before
    assert [each.linked for each in repeated] == [1, 0]
    told = one(catalogue, "SELECT count(duplicate_of), count(DISTINCT duplicate_of) FROM visual.video")
    assert tuple(told) == (2, 1)


def test_an_original_keeps_what_a_new_model_sees_in_it(catalogue, shard, tmp_path):
    videos = json.loads((shard.folder / "manifest.json").read_text())["videos"]
    models = {"old": shard.folder / "model", "new": network(tmp_path / "vit", "test_vit", 160, 64).folder}
    for model, folder in models.items():
        for number in (0, 1):
            job_folder = tmp_path / f"{model}{number}"
            job_folder.mkdir()
            Job(job_folder).run([Path(videos[number]["uri"])], "--model", str(folder))
    # Two that look alike to us now, and were not taken for copies when they came.
    nothing_alike = Copies(alike_share=1.1)
    loads = [load_results(catalogue, tmp_path / f"old{n}" / "out", nothing_alike) for n in (0, 1)]
    again = [load_results(catalogue, tmp_path / f"new{n}" / "out", COPIES) for n in (0, 1)]

    assert [(each.analyses, each.linked) for each in (*loads, *again)] == [(1, 0)] * 4
    assert one(catalogue, "SELECT count(duplicate_of) FROM visual.video")[0] == 0


def test_loading_again_changes_nothing(catalogue, shard):
    load_results(catalogue, shard.out, COPIES)
    before = rows(catalogue)
    again = load_results(catalogue, shard.out, COPIES)

    assert rows(catalogue) == before
    assert (again.videos, again.analyses, again.scenes, again.creatives) == (0, 0, 0, 0)


def test_what_the_database_knows_is_not_done_again(catalogue, shard, tmp_path, monkeypatch):
    load_results(catalogue, shard.out, COPIES)
    known = tmp_path / "known.json"
    known.write_text(json.dumps(known_videos(catalogue, 100)))
    fresh = tmp_path / "fresh"
    arguments = [
        "--manifest",
        str(shard.folder / "manifest.json"),
        "--out",
        str(fresh),
        "--known",
        str(known),
    ]
    model = str(shard.folder / "model")
    assert job.main([*arguments, "--model", model]) == job.DONE
    told = json.loads((fresh / "manifest.json").read_text())

    assert (told["decodes"], told["forwards"], told["cache_hits"]) == (0, 0, 5)
    assert told["videos"][1]["duplicate_of"] == told["videos"][0]["content_hash"]
    assert load_results(catalogue, fresh, COPIES).creatives == 0


def test_an_original_that_is_nowhere_is_named(catalogue, shard, tmp_path):
    lonely = next(path for path in shard.out.glob("*-*.json") if json.loads(path.read_text())["duplicate_of"])
    (tmp_path / lonely.name).write_bytes(lonely.read_bytes())

    with pytest.raises(VisualResultUnusable, match="is a copy of"):
        load_results(catalogue, tmp_path, COPIES)
    assert one(catalogue, "SELECT count(*) AS n FROM visual.video").n == 0


def test_a_damaged_result_is_named(db, tmp_path):
    name = f"{'a' * 64}-{'b' * 16}.json"
    (tmp_path / name).write_text("{")

    with pytest.raises(VisualResultUnusable, match=r"remove it and run the job again"):
        load_results(db, tmp_path, COPIES)


def test_a_failure_does_not_undo_what_was_seen(catalogue, shard, tmp_path):
    load_results(catalogue, shard.out, COPIES)
    before = rows(catalogue)["video"]
    path = next(p for p in shard.out.glob("*-*.json") if json.loads(p.read_text())["scenes"])
    result = json.loads(path.read_text()) | {
        "state": "failed",
        "reason": "broken",
        "video": None,
        "scenes": [],
    }
    Path(tmp_path / path.name).write_text(json.dumps(result))
    load_results(catalogue, tmp_path, COPIES)

    assert rows(catalogue)["video"] == before


def test_scenes_that_look_alike_are_found_in_other_videos(catalogue, shard):
    load_results(catalogue, shard.out, COPIES)
    key = shard.summary()["done"][0]
    found = nearest_scenes(catalogue, key, 0, 5)

    assert {analysis for analysis, _, _ in found} == {shard.summary()["done"][3]}
    assert [likeness for _, _, likeness in found] == sorted((each[2] for each in found), reverse=True)


def test_the_thresholds_are_what_the_job_assumes_by_default():
    assert JobSettings.of_values(thresholds().visual.job_settings()) == JobSettings()

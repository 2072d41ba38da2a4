"""The job: what it yields, and that nothing is done twice."""

import json
import shutil

import numpy as np
import pytest

from ml.visual import job
from ml.visual.results import read_embeddings
from tests.ml.visual import clips
from tests.ml.visual.clips import Scene


def test_one_pass_yields_scenes_features_and_embeddings(make_job, clip, model):
    work = make_job()
    told = work.run([clip], "--model", str(model.folder))
    result = work.result(0)

    assert [(scene["start_s"], scene["end_s"]) for scene in result["scenes"]] == [
        (0.0, 1.2), (1.2, 2.6), (2.6, 4.0),
    ]  # fmt: skip
    features = result["features"]
    assert features["first_cut_s"] == 1.2
    assert features["cuts_per_minute"] == 30.0
    assert features["speech_early_share"] == 1.0
    assert -25 < features["loudness_lufs"] < -15
    texts = [scene["features"]["text_area"] for scene in result["scenes"]]
    assert texts[1] > 0.01
    assert texts[0] == texts[2] == 0.0
    assert features["face_share"] is None
    arrays = read_embeddings(next(work.out.glob("*-*.json")))
    assert arrays["frames"].shape == (9, 96)
    assert arrays["scenes"].shape == (3, 96)
    assert np.allclose(np.linalg.norm(arrays["frames"], axis=1), 1, atol=1e-4)
    assert (told["decodes"], told["frames"], told["forwards"], told["batches"]) == (1, 100, 9, 1)


def test_without_a_model_measurements_are_made_and_nothing_is_embedded(make_job, clip):
    work = make_job()
    told = work.run([clip])

    assert told["forwards"] == 0
    assert told["device"] is None
    assert len(work.result(0)["scenes"]) == 3
    assert not list(work.out.glob("*.npz"))


def test_a_second_run_decodes_and_forwards_nothing(make_job, clip, other_clip, model):
    work = make_job()
    first = work.run([clip, other_clip], "--model", str(model.folder))
    kept = work.files()
    again = work.run([clip, other_clip], "--model", str(model.folder))

    assert first["decodes"] == 2
    assert (again["decodes"], again["forwards"], again["cache_hits"]) == (0, 0, 2)
    assert again["done"] == first["done"]
    assert work.files() == kept


def test_a_damaged_result_is_made_anew_and_holds_up_nothing(make_job, other_clip):
    work = make_job()
    work.run([other_clip])
    (path,) = work.out.glob("*-*.json")
    whole = path.read_bytes()
    path.write_bytes(whole[:100])

    assert work.run([other_clip])["decodes"] == 1
    assert path.read_bytes() == whole


def test_failures_are_remembered_too(make_job, tmp_path):
    text = tmp_path / "letter.mp4"
    text.write_text("not a video")
    work = make_job()
    first = work.run([text])
    again = work.run([text])

    assert (first["decodes"], again["decodes"]) == (1, 0)
    assert again["failed"] == first["failed"]


def test_what_another_folder_knows_is_not_done_again(make_job, clip, tmp_path, model):
    first = make_job("first")
    first.run([clip], "--model", str(model.folder))
    row = first.result(0)
    known = tmp_path / "known.json"
    known.write_text(
        json.dumps(
            [
                {
                    "content_hash": row["content_hash"],
                    "analysis_key": row["analysis_key"],
                    "family": row["recipe"]["family"],
                    "perceptual_hash": row["perceptual_hash"],
                }
            ]
        )
    )
    smaller = clips.transcode(clip, tmp_path / "smaller.mp4", width=112, height=200)
    second = make_job("second")
    told = second.run([clip, smaller], "--model", str(model.folder), "--known", str(known))

    assert (told["cache_hits"], told["decodes"], told["forwards"], told["duplicates"]) == (1, 1, 0, 1)
    assert told["videos"][1]["duplicate_of"] == row["content_hash"]


def test_the_same_file_of_two_creatives_is_decoded_once(make_job, clip, tmp_path):
    twin = tmp_path / "twin.mp4"
    shutil.copy(clip, twin)
    told = make_job().run([clip, twin, clip])

    assert told["decodes"] == 1
    assert len(set(told["done"])) == 1
    assert len(told["done"]) == 3


def test_the_same_file_that_a_later_creative_has_sooner_is_decoded_once(make_job, clip, serve_slowly):
    told = make_job().run([serve_slowly(clip), clip, clip], decoders=2)

    assert (told["decodes"], told["cache_hits"]) == (1, 2)
    assert [video["state"] for video in told["videos"]] == ["done"] * 3
    assert len(set(told["done"])) == 1


@pytest.mark.parametrize(
    ("change", "decodes"),
    [(["--sampling", "keyframes"], 1), (["--sampling", "all"], 1), (["--precision", "fp32"], 0)],
)
def test_what_changes_the_answer_changes_the_key(make_job, other_clip, change, decodes):
    work = make_job()
    work.run([other_clip])

    assert work.run([other_clip], *change)["decodes"] == decodes


def test_new_settings_of_measuring_have_everything_seen_anew(make_job, other_clip):
    work = make_job()
    work.run([other_clip])

    assert work.run([other_clip], measuring={"early_s": 2.0})["decodes"] == 1
    assert work.run([other_clip], monitor_s=0.1)["decodes"] == 0


@pytest.mark.parametrize(("sampling", "sampled"), [("2fps", 5), ("keyframes", 1), ("all", 50)])
def test_the_sampling_decides_what_the_network_sees(make_job, other_clip, model, sampling, sampled):
    told = make_job().run([other_clip], "--model", str(model.folder), "--sampling", sampling)

    assert told["forwards"] == sampled


def test_two_folders_have_the_same_bytes(make_job, clip, other_clip, model):
    folders = []
    for name in ("one", "two"):
        work = make_job(name)
        work.run([clip, other_clip], "--model", str(model.folder), "--batch", "4")
        folders.append(work.files())

    assert folders[0] == folders[1]
    assert len(folders[0]) == 4


def test_nothing_is_said_of_signed_addresses(make_job, capfd, clip):
    work = make_job()
    told = work.run([f"file://{clip}", "file:///nowhere/a.mp4?token=hidden"])

    assert "hidden" not in capfd.readouterr().out
    assert told["failed"][0]["uri"] == "file:///nowhere/a.mp4"
    assert told["failed"][0]["again"] is True


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "cannot be read"),
        ('{"shard": 1, "videos": [{"uri": "x"}]}', "account_id"),
        ('{"shard": 1, "videos": [{"account_id": "a", "creative_id": "c", "uri": "x"}], '
         '"settings": {"speed": 9}}', "speed"),
    ],
)  # fmt: skip
def test_a_manifest_that_cannot_be_used_is_refused_for_good(tmp_path, capfd, content, says):
    manifest = tmp_path / "manifest.json"
    manifest.write_text(content)

    assert job.main(["--manifest", str(manifest), "--out", str(tmp_path / "out")]) == job.UNUSABLE
    assert says in capfd.readouterr().out


def test_a_model_that_is_none_is_refused_for_good(make_job, clip, tmp_path, capfd):
    work = make_job()
    arguments = work.arguments(work.manifest([clip]), "--model", str(tmp_path))

    assert job.main(arguments) == job.UNUSABLE
    assert "visual_model.json" in capfd.readouterr().out


def test_an_empty_manifest_is_nothing_to_do(make_job):
    work = make_job()

    assert job.main(work.arguments(work.manifest([]))) == job.NOTHING


def test_a_small_summary_goes_to_the_xcom(make_job, other_clip, tmp_path):
    path = tmp_path / "airflow" / "return.json"
    work = make_job()
    work.run([other_clip], "--xcom", str(path))
    told = json.loads(path.read_text())

    assert told["shard"] == 7
    assert told["gpu"] == "unavailable"
    assert told["peak_mb"] == "unavailable"
    assert "videos" not in told
    assert set(told["shares"]) == {"loading", "starved", "computing", "transferring", "cause"}


def test_the_pace_of_a_video_is_found(make_job, tmp_path):
    quick = clips.write(tmp_path / "quick.mp4", [Scene(50 + n, 0.72) for n in range(4)] + [Scene(60, 1.4)])
    work = make_job()
    work.run([quick])
    features = work.result(0)["features"]

    assert features["scene_count"] == 5
    assert features["cuts_early"] == 4
    assert features["mean_scene_s"] == pytest.approx(4.28 / 5, abs=0.01)

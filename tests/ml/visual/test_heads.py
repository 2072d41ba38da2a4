"""Tags and emotion come from heads that earned their place, and from nowhere else."""

import numpy as np
import pytest

from ml.visual.heads import Heads, fit_heads
from ml.visual.model import VisualModel
from tests.ml.visual.conftest import network

MARGIN = 0.05


def labelled(signal, seed=0, videos=80, scenes=4, dimensions=32):
    """Scenes that are alike within a video; a tag that follows one direction as clearly as `signal`."""
    dice = np.random.default_rng(seed)
    of_video = dice.normal(size=(videos, dimensions))
    rows = np.repeat(of_video, scenes, axis=0) + 0.5 * dice.normal(size=(videos * scenes, dimensions))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    score = signal * rows[:, 0] * np.sqrt(dimensions)
    tag = (dice.random(len(score)) < 1 / (1 + np.exp(-score + 0.5))).astype(float)
    emotion = np.clip(0.5 + 0.1 * score + 0.05 * dice.normal(size=len(score)), 0, 1)
    names = [f"v{n:03d}" for n in range(videos) for _ in range(scenes)]
    return rows, names, tag, emotion


def test_what_the_pictures_tell_is_offered_with_its_evidence():
    rows, videos, tag, emotion = labelled(3.0)
    heads = fit_heads(rows, videos, {"product": tag}, emotion, margin=MARGIN)
    fresh, _, wanted, wanted_emotion = labelled(3.0, seed=9)

    assert [head.name for head in heads.tags] == ["product"]
    judged = heads.tags[0].judged
    assert judged.gain > judged.least_gain >= MARGIN
    said = np.array(["product" in heads.tags_of(row) for row in fresh])
    assert np.mean(said == (wanted > 0.5)) > 0.75
    scores = np.array([heads.emotion_of(row) for row in fresh])
    assert np.corrcoef(scores, wanted_emotion)[0, 1] > 0.8
    # Calibrated: among scenes given about p, about p have it.
    given = heads.tags[0].answer(fresh)
    high = given > 0.7
    assert abs(given[high].mean() - wanted[high].mean()) < 0.1


@pytest.mark.parametrize("seed", range(3))
def test_chance_is_not_offered(seed):
    rows, videos, _, _ = labelled(0.0, seed=seed)
    dice = np.random.default_rng(seed + 100)
    # Labels that are alike within a video: folds of scenes instead of videos would be fooled by them.
    tag = np.repeat((dice.random(80) < 0.4).astype(float), 4)
    emotion = np.repeat(dice.random(80), 4)
    heads = fit_heads(rows, videos, {"noise": tag}, emotion, margin=MARGIN)

    assert heads.tags == ()
    assert heads.emotion is None
    assert set(heads.refused) == {"noise", "emotion"}
    assert "asked for" in heads.refused["noise"]


def test_few_labels_are_said_to_be_few():
    rows, videos, tag, _ = labelled(3.0, videos=10)
    rare = np.zeros(320)
    rare[:4] = 1
    more_rows, more_videos, _, _ = labelled(3.0)

    assert "labels of 10 videos" in fit_heads(rows, videos, {"a": tag}, margin=MARGIN).refused["a"]
    assert "fewer than" in fit_heads(more_rows, more_videos, {"b": rare}, margin=MARGIN).refused["b"]


def test_without_heads_there_are_no_values(make_job, clip, model):
    work = make_job()
    work.run([clip], "--model", str(model.folder))

    assert {(scene["visual_tags"], scene["emotion_score"]) for scene in work.result(0)["scenes"]} == {
        (None, None)
    }
    assert Heads().tags_of(np.ones(4)) is None
    assert Heads().emotion_of(np.ones(4)) is None


def test_saved_heads_change_the_digest_and_give_values(make_job, clip, tmp_path):
    made = network(tmp_path / "model", "test_resnet", 96, 96)
    without = made.digest
    rows, videos, tag, emotion = labelled(3.0, dimensions=96)
    heads = fit_heads(rows, videos, {"product": tag}, emotion, margin=MARGIN)
    heads.save(made.folder)
    work = make_job()
    work.run([clip], "--model", str(made.folder))
    scenes = work.result(0)["scenes"]

    assert VisualModel(made.folder).digest != without
    assert Heads.load(made.folder).tags == heads.tags
    assert all(set(scene["visual_tags"]) <= {"product"} for scene in scenes)
    assert all(0 <= scene["emotion_score"] <= 1 for scene in scenes)
    Heads().save(made.folder)
    assert VisualModel(made.folder).digest == without

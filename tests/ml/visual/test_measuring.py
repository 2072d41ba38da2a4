"""What is measured in pictures and sound, against what is known of them."""

import av
import cv2
import numpy as np
import pytest

from ml.visual.decoding import Question, watch
from ml.visual.errors import VisualModelUnusable
from ml.visual.faces import FaceFinder
from ml.visual.picture import text_share
from ml.visual.sampling import Sampling
from ml.visual.settings import Limits, Measuring
from ml.visual.sound import RATE, listen, loudness
from tests.ml.visual import clips
from tests.ml.visual.clips import Scene


def seen(path, sampling=Sampling.TWO_FPS, size=0):
    frames = []
    told = watch(
        Question(str(path), sampling, size, 16, Limits(), Measuring()),
        lambda times, batch: frames.append(batch),
        lambda _: None,
    )
    return told, np.concatenate(frames) if frames else None


def sine(level_db, seconds=3.0, hertz=997):
    time = np.arange(int(seconds * RATE)) / RATE
    return (10 ** (level_db / 20) * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


@pytest.mark.parametrize("level", [0.0, -20.0, -40.0])
def test_loudness_of_a_tone_is_that_of_the_standard(level):
    # ITU-R BS.1770: a full-scale sine of 997 Hz in one channel reads -3.01 LUFS.
    assert loudness(sine(level)) == pytest.approx(level - 3.01, abs=0.1)


def test_low_tones_count_less_and_silence_is_gated_out():
    assert loudness(sine(-20, hertz=40)) < loudness(sine(-20)) - 3
    with_pause = np.concatenate([sine(-20), np.zeros(3 * RATE, np.float32)])
    assert loudness(with_pause) == pytest.approx(loudness(sine(-20)), abs=0.5)
    assert loudness(np.zeros(RATE, np.float32)) is None


@pytest.mark.parametrize("seed", range(4))
def test_speech_is_told_from_music_and_noise(seed):
    noise = (0.1 * np.random.default_rng(seed).standard_normal(4 * RATE)).astype(np.float32)

    assert listen(clips.speech_like(4.0, seed), 3.0).speech_share == 1.0
    assert listen(clips.tone(4.0), 3.0).speech_share == 0.0
    assert listen(noise, 3.0).speech_share == 0.0


def test_speech_that_comes_late_is_not_early():
    late = np.concatenate([np.zeros(3 * RATE, np.float32), clips.speech_like(3.0)])
    heard = listen(late, 3.0)

    assert heard.speech_early_share == 0.0
    assert heard.speech_share == 0.5
    assert heard.silence_share == 0.5
    assert heard.loudness_early_lufs is None


def test_words_are_found_and_shapes_are_not():
    plain = clips.draw(Scene(5, 0.1), 270, 480)[0]
    words = clips.draw(Scene(5, 0.1, "SALE TODAY\nonly here\nuntil friday"), 270, 480)[0]
    few = clips.draw(Scene(5, 0.1, "SALE TODAY"), 270, 480)[0]
    shares = [text_share(cv2.cvtColor(each, cv2.COLOR_RGB2GRAY)) for each in (plain, few, words)]

    assert shares[0] == 0.0
    assert 0.005 < shares[1] < shares[2] < 0.3


def test_size_and_codec_hardly_change_what_is_measured(tmp_path, clip):
    copies = [
        clips.transcode(clip, tmp_path / "large.mp4", width=320, height=568, bit_rate=900_000),
        clips.transcode(clip, tmp_path / "mpeg4.mp4", codec="mpeg4", bit_rate=900_000),
    ]
    first = seen(clip)[0]["features"]
    for copy in copies:
        other = seen(copy)[0]["features"]
        for name in ("brightness", "contrast", "saturation", "colourfulness", "warmth", "motion"):
            assert other[name] == pytest.approx(first[name], abs=0.02), name
        assert other["scene_count"] == first["scene_count"]


@pytest.mark.parametrize("pixels", ["yuv420p10le", "yuv444p", "yuv422p"])
def test_other_kinds_of_pixels_are_read_alike(tmp_path, pixels):
    frames = clips.draw(Scene(3, 1.0), 160, 284)
    usual = seen(clips.write_frames(tmp_path / "usual.mp4", frames, bit_rate=900_000))[0]["features"]
    path = tmp_path / "other.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=clips.FPS)
        stream.width, stream.height, stream.pix_fmt = 160, 284, pixels
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    other = seen(path)[0]["features"]

    for name in ("brightness", "contrast", "saturation", "warmth"):
        assert other[name] == pytest.approx(usual[name], abs=0.02), name


def test_the_network_sees_the_whole_picture_in_its_proportions(tmp_path):
    red = np.zeros((284, 160, 3), np.uint8)
    red[..., 0] = 220
    _, frames = seen(clips.write_frames(tmp_path / "red.mp4", [red] * 25), size=96)
    height, width = frames.shape[1:3]

    assert (height, width) == (96, 96)
    assert (frames[0, :, :20] == 128).all()
    assert (frames[0, :, -20:] == 128).all()
    middle = frames[0, :, 25:70].reshape(-1, 3).mean(axis=0)
    assert middle == pytest.approx([220, 0, 0], abs=8)


def test_brightness_follows_the_light(tmp_path):
    levels = [
        seen(clips.write(tmp_path / f"{light}.mp4", [Scene(9, 0.8, brightness=light)]))[0]["features"][
            "brightness"
        ]
        for light in (0.3, 0.6, 0.9)
    ]

    assert levels == sorted(levels)
    assert levels[2] == pytest.approx(3 * levels[0], rel=0.1)


def test_a_face_detector_that_is_none_is_refused(tmp_path):
    with pytest.raises(VisualModelUnusable, match="there is no file"):
        FaceFinder(str(tmp_path / "yunet.onnx"))
    wrong = tmp_path / "wrong.onnx"
    wrong.write_bytes(b"no network")
    with pytest.raises(VisualModelUnusable, match="OpenCV cannot use"):
        FaceFinder(str(wrong))

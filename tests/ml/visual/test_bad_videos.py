"""Files that are no videos, or would do harm: each fails with a reason, and holds up no other."""

import os
import signal
import struct
import time

import av
import numpy as np
import pytest

from ml.visual.decoder_process import DecoderProcess
from ml.visual.decoding import Question
from ml.visual.errors import VideoNotFinished, VideoUnusable
from ml.visual.sampling import Sampling
from ml.visual.settings import Limits, Measuring
from tests.ml.visual import clips
from tests.ml.visual.clips import Scene


def question(path, **limits):
    return Question(str(path), Sampling.TWO_FPS, 32, 16, Limits(**limits), Measuring())


def told(path, **limits):
    """What the decoder says of a file in the end."""
    decoder = DecoderProcess()
    try:
        return list(decoder.watch(question(path, **limits)))[-1]
    finally:
        decoder.close()


def sound_only(path):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        for start in range(0, 16000, 1024):
            frame = av.AudioFrame.from_ndarray(clips.tone(1)[None, start : start + 1024], "fltp", "mono")
            frame.sample_rate, frame.pts = 16000, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def damaged(source, path, every):
    content = bytearray(source.read_bytes())
    for at in range(2000, len(content) - 12000, every):
        content[at] ^= 0x5A
    path.write_bytes(content)
    return path


def renamed_codec(source, path):
    """An MP4 that claims a codec nobody knows."""
    path.write_bytes(source.read_bytes().replace(b"avc1", b"zzz9"))
    return path


def vast(path):
    """A GIF of 33 bytes that says its picture has 65,535 pixels each way, which is 16 GB as RGB."""
    head = b"GIF89a" + struct.pack("<HHBBB", 65_535, 65_535, 0, 0, 0)
    image = b"," + struct.pack("<HHHHB", 0, 0, 65_535, 65_535, 0x80) + bytes(6) + b"\x02\x02\x44\x01\x00;"
    path.write_bytes(head + image)
    return path


def test_every_bad_file_fails_with_its_reason_and_holds_up_no_other(make_job, clip, other_clip, tmp_path):
    def made(name, content):
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    playlist = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n" + str(clip) + "\n#EXT-X-ENDLIST\n"
    videos = {
        made("zero.mp4", b""): "its file is empty",
        made("noise.mp4", os.urandom(20_000)): "no video that can be read",
        made("words.mov", b"hello\n" * 500): "no video that can be read",
        made("list.m3u8", playlist.encode()): "no video that can be read",
        made("list.ffconcat", f"ffconcat version 1.0\nfile {clip}\n".encode()): "no video that can be read",
        made("short.mp4", clip.read_bytes()[: clip.stat().st_size // 2]): "no video that can be read",
        sound_only(tmp_path / "song.mp4"): "no moving picture",
        damaged(clip, tmp_path / "damaged.mp4", 900): "it is damaged",
        renamed_codec(clip, tmp_path / "codec.mp4"): "codec",
        clip: None,
        tmp_path / "absent.mp4": "its file is not there",
        made("large.mp4", b"x" * 400_000): "more than 300,000",
        other_clip: None,
    }
    work = make_job()
    summary = work.run(list(videos), limits={"most_bytes": 300_000})

    for told_of, (path, reason) in zip(summary["videos"], videos.items(), strict=True):
        assert told_of["state"] == ("failed" if reason else "done"), (path, told_of)
        assert reason is None or reason in told_of["reason"], (path, told_of)
        assert str(tmp_path) not in (told_of["reason"] or "")


def test_a_file_cut_short_is_not_taken_for_the_whole(tmp_path):
    path = clips.write(tmp_path / "whole.mkv", [Scene(1, 2.0), Scene(2, 2.0)])
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.6)])

    with pytest.raises(VideoUnusable, match=r"of its 4\.\d s can be decoded"):
        told(cut)


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        ({"longest_s": 3.0}, "plays for 4 s, longer than 3 s"),
        ({"most_pixels": 40_000}, "160 x 284 pixels, more than 40,000"),
        ({"most_frames": 60}, "100 frames, more than 60"),
    ],
)
def test_limits_are_told(clip, limits, reason):
    with pytest.raises(VideoUnusable, match=reason):
        told(clip, **limits)


def test_frames_of_absurd_size_are_refused_before_they_are_unfolded(tmp_path):
    began = time.monotonic()
    with pytest.raises(VideoUnusable, match=r"65535 x 65535 pixels|decoded"):
        told(vast(tmp_path / "vast.gif"))
    assert time.monotonic() - began < 20


def test_a_small_file_of_very_many_frames_is_given_up(tmp_path):
    still = np.zeros((64, 64, 3), np.uint8)
    path = clips.write_frames(tmp_path / "bomb.mkv", [still] * 3000, fps=25, bit_rate=1000)

    assert path.stat().st_size < 200_000
    with pytest.raises(VideoUnusable, match=r"more than 500 frames"):
        told(path, most_frames=500)


def test_a_video_that_takes_too_long_is_given_up_and_the_next_is_served(clip, other_clip):
    decoder = DecoderProcess()
    try:
        with pytest.raises(VideoNotFinished, match="took longer than"):
            list(decoder.watch(question(clip, base_s=0.0001, per_second_s=0.0001)))
        assert list(decoder.watch(question(other_clip)))[-1]["frames"] == 50
    finally:
        decoder.close()


def test_a_decoder_that_dies_costs_one_video(clip, other_clip):
    decoder = DecoderProcess()
    try:
        list(decoder.watch(question(other_clip)))
        answers = decoder.watch(question(clip))
        next(answers)
        decoder.process.send_signal(signal.SIGSEGV)
        with pytest.raises(VideoUnusable, match="the decoder died of it"):
            list(answers)
        assert list(decoder.watch(question(other_clip)))[-1]["frames"] == 50
    finally:
        decoder.close()


def test_memory_beyond_the_limit_costs_one_video(tmp_path, other_clip):
    frames = [np.full((4320, 7680, 3), n * 20, np.uint8) for n in range(3)]
    path = clips.write_frames(tmp_path / "wide.mp4", frames)
    enough = least_memory_mb(other_clip)
    decoder = DecoderProcess()
    try:
        with pytest.raises(VideoUnusable):
            list(decoder.watch(question(path, memory_mb=enough, most_pixels=frames[0].size)))
        assert list(decoder.watch(question(other_clip, memory_mb=enough)))[-1]["frames"] == 50
    finally:
        decoder.close()


def least_memory_mb(path):
    """The least limit under which a video can be decoded: most of it is what the libraries take."""
    for limit in range(200, 3_000, 25):
        try:
            told(path, memory_mb=limit)
        except VideoUnusable:
            continue
        return limit
    raise AssertionError("no limit is enough")

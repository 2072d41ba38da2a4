"""The one pass over a video: every frame is decoded once, and everything that looks at frames sees it then.

Frames for the network leave in batches as they come; what was measured comes at the end. This runs in a
process of its own (`ml.visual.decoder_process`), which can be given up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ml.visual.errors import VideoUnusable
from ml.visual.faces import FaceFinder
from ml.visual.fingerprint import MOMENTS_PER_S, fingerprint
from ml.visual.measured import Tracks, measured
from ml.visual.opening import OpenVideo, open_video
from ml.visual.picture import FINE, Planes, look, network_input, planes_of, small_bgr, small_luma, text_share
from ml.visual.sampling import Sampling, Ticks
from ml.visual.settings import Limits, Measuring
from ml.visual.shots import CutFinder
from ml.visual.sound import RATE

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

_LOOKS_PER_S, _TEXTS_PER_S = 8.0, 2.0


@dataclass(frozen=True)
class Question:
    """What is asked of a video.

    Attributes:
        size: side of the network's input; 0 where there is no network, and no frames are sent.
        batch: frames of a batch.
    """

    path: str
    sampling: Sampling
    size: int
    batch: int
    limits: Limits
    measuring: Measuring


@dataclass
class _Batch:
    frames: list[np.ndarray] = field(default_factory=list)
    times: list[float] = field(default_factory=list)


Send = Callable[[list[float], np.ndarray], None]


def watch(question: Question, send: Send, opened: Callable[[float], None]) -> dict[str, Any]:
    """Decode a video once.

    Args:
        send: takes the times and the (n, size, size, 3) frames of each full batch, and of the last one.
        opened: is told how long the video says it plays, seconds, before anything is decoded.

    Returns:
        `frames` (how many were decoded), `sampled` (how many of them go to the network), the `times` of
        these, `video` (what the file is), `scenes` and `features` (`ml.visual.measured`), and
        `perceptual_hash`, None with key frames only.

    Raises:
        VideoUnusable: it cannot be decoded, or is beyond a limit.
    """
    with open_video(question.path, question.limits) as video:
        opened(video.duration_s)
        return _Pass(question, video, send).run()


class _Pass:
    def __init__(self, question: Question, opened: OpenVideo, send: Send) -> None:
        self._question, self._opened, self._send = question, opened, send
        self._keyframes = question.sampling is Sampling.KEYFRAMES
        self._samples = Ticks(question.measuring.sampled_fps)
        self._looks, self._texts, self._moments = (
            Ticks(rate) for rate in (_LOOKS_PER_S, _TEXTS_PER_S, MOMENTS_PER_S)
        )
        self._cuts = CutFinder(question.measuring, opened.fps)
        self._faces = FaceFinder(question.measuring.face_model) if question.measuring.face_model else None
        self._tracks = Tracks()
        self._batch = _Batch()
        self._sampled: list[float] = []
        self._pictures: list[np.ndarray] = []
        self._last_luma: np.ndarray | None = None
        self._damaged = 0
        self._shown: tuple[int, int] | None = None

    def run(self) -> dict[str, Any]:
        for frame in self._frames():
            self._see(frame)
        tracks, opened, measuring = self._tracks, self._opened, self._question.measuring
        if not tracks.times or self._shown is None:
            raise VideoUnusable("no frame of it can be decoded: it is damaged, or in a codec unknown here")
        duration = max(opened.duration_s, tracks.times[-1] - min(0.0, tracks.times[0]))
        self._whole(duration)
        if self._batch.frames:
            self._flush()
        shown = fingerprint(self._pictures, duration, self._shown[0] / self._shown[1])
        scenes, features = measured(tracks, self._cuts.cuts(), duration, measuring, opened.audio is not None)
        return {
            "frames": len(tracks.times),
            "sampled": len(self._sampled),
            "times": [round(time, 4) for time in self._sampled],
            "video": {
                "duration_s": round(duration, 3), "fps": round(opened.fps, 3), "width": self._shown[0],
                "height": self._shown[1], "frames": len(tracks.times), "has_audio": opened.audio is not None,
            },
            "scenes": scenes,
            "features": features,
            "perceptual_hash": None if shown is None or self._keyframes else shown.to_values(),
        }  # fmt: skip

    def _frames(self) -> Iterator[VideoFrame]:
        """Pictures in order; sound goes to the tracks on the way."""
        import av

        opened, limits = self._opened, self._question.limits
        if self._keyframes:
            opened.video.codec_context.skip_frame = "NONKEY"
        resampler = av.AudioResampler("flt", "mono", RATE)
        streams = [opened.video, opened.audio] if opened.audio is not None else [opened.video]
        packets = opened.container.demux(*streams)
        count = 0
        while True:
            try:
                packet = next(packets, None)
            except av.FFmpegError:
                self._damaged += 1  # The file ends in the middle of something.
                return
            if packet is None:
                return
            if packet.stream is not opened.video:
                self._hear(packet, resampler)
                continue
            try:
                frames = cast("list[VideoFrame]", packet.decode())
            except av.FFmpegError:
                self._damaged += 1
                if self._damaged > 100 and count < self._damaged:
                    return
                continue
            for frame in frames:
                count += 1
                if count > limits.most_frames:
                    raise VideoUnusable(f"it has more than {limits.most_frames:,} frames: it is no ad")
                if frame.width * frame.height > limits.most_pixels:
                    raise VideoUnusable(
                        f"its frames grow to {frame.width} x {frame.height} pixels, more than "
                        f"{limits.most_pixels:,}"
                    )
                self._damaged += bool(frame.is_corrupt)
                yield frame

    def _hear(self, packet: Any, resampler: Any) -> None:
        import av

        try:
            pieces = [heard for frame in packet.decode() for heard in resampler.resample(frame)]
        except (av.FFmpegError, ValueError):
            return  # What cannot be heard is silent; the picture decides whether the file is damaged.
        for piece in pieces:
            if self._tracks.heard_s < self._question.limits.longest_s:
                self._tracks.hear(piece.to_ndarray()[0])

    def _see(self, frame: VideoFrame) -> None:
        tracks = self._tracks
        time = float(frame.time) if frame.time is not None else len(tracks.times) / self._opened.fps
        if tracks.times and time <= tracks.times[-1]:
            time = tracks.times[-1] + 1e-3
        if time > self._question.limits.longest_s * 1.05:
            raise VideoUnusable(
                f"it plays for longer than {self._question.limits.longest_s:,.0f} s: cut it, or raise "
                "visual.job.limits.longest_s"
            )
        planes = planes_of(frame)
        luma = small_luma(planes)
        bgr = small_bgr(planes, luma)
        self._cuts.see(time, bgr)
        if self._last_luma is not None and self._last_luma.shape == luma.shape:
            change = float(np.mean(np.abs(luma.astype(np.int16) - self._last_luma))) / 255
            tracks.change.append(change / max(time - tracks.times[-1], 1e-3))
        else:
            tracks.change.append(0.0)
        self._last_luma = luma
        tracks.times.append(time)
        if self._shown is None:
            turned = planes.quarter_turns % 2 == 1
            size = (frame.width, frame.height)
            self._shown = size[::-1] if turned else size
        if self._looks.due(time) or self._keyframes:
            tracks.look(time, look(bgr, luma))
        if self._texts.due(time) or self._keyframes:
            tracks.text(time, text_share(small_luma(planes, FINE)))
            if self._faces is not None:
                tracks.faces.append(self._faces.share(bgr))
        if self._moments.due(time) and (not self._pictures or self._pictures[0].shape == luma.shape):
            self._pictures.append(luma)
        if self._question.sampling is not Sampling.TWO_FPS or self._samples.due(time):
            self._sample(planes, time)

    def _sample(self, planes: Planes, time: float) -> None:
        self._sampled.append(time)
        if not self._question.size:
            return
        self._batch.frames.append(network_input(planes, self._question.size))
        self._batch.times.append(time)
        if len(self._batch.frames) == self._question.batch:
            self._flush()

    def _flush(self) -> None:
        self._send(self._batch.times, np.stack(self._batch.frames))
        self._batch = _Batch()

    def _whole(self, duration_s: float) -> None:
        """Refuse what is there only in part, which would be taken for the whole by everybody after us."""
        tracks, share = self._tracks, self._question.limits.least_share
        count = len(tracks.times)
        if self._damaged > max(1.0, (1 - share) * (count + self._damaged)):
            raise VideoUnusable(
                f"it is damaged: {self._damaged} of its {count + self._damaged} frames cannot be decoded "
                "whole; upload it again"
            )
        reached = tracks.times[-1] + 1.5 / self._opened.fps
        if not self._keyframes and reached < share * duration_s - 0.2:
            raise VideoUnusable(
                f"only {reached:.1f} of its {duration_s:.1f} s can be decoded: the file is cut short; "
                "upload it again"
            )

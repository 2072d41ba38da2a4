"""Opens a video, or says in one sentence why it cannot be analysed.

FFmpeg would open playlists that name other files or addresses, pictures by the thousand, and frames of any
size. So only containers of video are allowed, only files, and the largest frame is told to the decoder, which
then refuses before it takes the memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from ml.visual.errors import VideoUnusable
from ml.visual.settings import Limits

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.video.stream import VideoStream

CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,flv,asf,ogg,mxf,gif,mpegvideo,h264,hevc,ivf"
)
_ATTACHED_PICTURE = "attached_pic"


@dataclass(frozen=True)
class OpenVideo:
    """An open video.

    Attributes:
        duration_s: as declared; 0 where nothing is.
        fps: frames a second on average; 25 where nothing is declared.
    """

    container: InputContainer
    video: VideoStream
    audio: AudioStream | None
    duration_s: float
    fps: float

    @property
    def upright(self) -> tuple[int, int]:
        """Width and height as coded."""
        return self.video.codec_context.width, self.video.codec_context.height


@contextmanager
def open_video(path: str, limits: Limits) -> Iterator[OpenVideo]:
    """Open a file for decoding.

    Raises:
        VideoUnusable: it is no video, has none, or is beyond a limit.
    """
    import av

    try:
        container = av.open(
            path,
            options={"format_whitelist": CONTAINERS, "protocol_whitelist": "file"},
            container_options={"probesize": "10000000"},
        )
    except av.FFmpegError as error:
        raise VideoUnusable(
            f"it is no video that can be read ({_said(error)}): export it again as MP4"
        ) from error
    with container:
        yield _checked(container, limits)


def _checked(container: InputContainer, limits: Limits) -> OpenVideo:
    streams = [each for each in container.streams.video if _ATTACHED_PICTURE not in str(each.disposition)]
    if not streams:
        raise VideoUnusable("it has no moving picture, only sound or a cover: give the video itself")
    video = streams[0]
    context = video.codec_context
    if context is None or not context.name:
        raise VideoUnusable("its video is in a codec that cannot be decoded here: export it as H.264")
    width, height = context.width, context.height
    if width * height > limits.most_pixels:
        raise VideoUnusable(
            f"its frames have {width} x {height} pixels, more than {limits.most_pixels:,}: make it smaller"
        )
    duration = _seconds(video.duration, video.time_base) or (container.duration or 0) / 1_000_000
    if duration > limits.longest_s:
        raise VideoUnusable(
            f"it plays for {duration:,.0f} s, longer than {limits.longest_s:,.0f} s: cut it, or raise "
            "visual.job.limits.longest_s"
        )
    if (video.frames or 0) > limits.most_frames:
        raise VideoUnusable(
            f"it says it has {video.frames:,} frames, more than {limits.most_frames:,}: it is no ad"
        )
    context.options = {"max_pixels": str(limits.most_pixels)}
    # Videos are decoded side by side; threads within each would only take turns.
    context.thread_count = 1
    rate = video.average_rate or video.guessed_rate
    fps = float(rate) if rate and 0 < rate < 1000 else 25.0
    audio = container.streams.audio[0] if container.streams.audio else None
    return OpenVideo(container, video, audio, duration, fps)


def _seconds(ticks: int | None, base: Fraction | None) -> float:
    return float(ticks * base) if ticks and base and ticks > 0 else 0.0


def _said(error: Exception) -> str:
    """FFmpeg's own words without the file's name, which may tell something."""
    return str(getattr(error, "strerror", None) or type(error).__name__).lower()

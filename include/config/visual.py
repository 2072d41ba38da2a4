"""The typed form of the section about the visual job: what a video may ask, how it is measured, what is
a copy."""

from typing import Annotated, Any

from pydantic import Field

from include.config.section import PositiveFloat, PositiveInt, Section, Share

# As `Share`, but all of it counts too.
Whole = Annotated[float, Field(gt=0, le=1)]


class VideoLimits(Section):
    """Beyond these a video fails with a reason."""

    most_bytes: PositiveInt
    longest_s: PositiveFloat
    most_pixels: PositiveInt
    most_frames: PositiveInt
    least_share: Whole
    base_s: PositiveFloat
    per_second_s: PositiveFloat
    memory_mb: Annotated[int, Field(ge=2048)]


class MeasuringThresholds(Section):
    """How measurements are taken; a change has every video seen anew."""

    sampled_fps: PositiveFloat
    adaptive_ratio: PositiveFloat
    window_frames: PositiveInt
    least_scene_s: PositiveFloat
    least_content: PositiveFloat
    early_s: PositiveFloat
    pacing_window_s: PositiveFloat
    face_model: str | None


class FidelityThresholds(Section):
    """When faster arithmetic is close enough to fp32."""

    cosine: Whole
    overlap: Whole
    neighbours: PositiveInt


class CopyThresholds(Section):
    """When two videos are copies."""

    duration_s: PositiveFloat
    duration_share: Share
    aspect_share: Share
    hash_bits: Annotated[int, Field(ge=0, le=64)]
    alike_share: Whole
    longest_unlike_s: PositiveFloat
    cell_difference: PositiveFloat


class VisualJobThresholds(Section):
    """What the job is told."""

    limits: VideoLimits
    measuring: MeasuringThresholds
    fidelity: FidelityThresholds
    copies: CopyThresholds
    decoders: Annotated[int, Field(ge=0)]
    queue_batches: PositiveInt
    hold_frames: PositiveInt
    monitor_s: PositiveFloat
    sm_active_target: Share


class HostedThresholds(Section):
    """Video intelligence at a vendor: costs money, so off unless asked for."""

    enabled: bool
    model: str
    most_bytes: PositiveInt
    timeout_s: PositiveFloat


class VisualThresholds(Section):
    """What is seen in videos."""

    job: VisualJobThresholds
    head_margin: Share
    known_videos: PositiveInt
    hosted: HostedThresholds

    def job_settings(self) -> dict[str, Any]:
        """The job's part as plain values, for a manifest."""
        return self.job.model_dump(mode="json")

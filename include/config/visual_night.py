"""The typed form of the section about the night's visual analysis: shards, pods, where videos come from."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from include.config.section import PositiveFloat, PositiveInt, Section

# A quantity as Kubernetes writes it.
Quantity = Annotated[str, Field(pattern=r"^\d+(\.\d+)?(m|[KMGT]i?)?$")]


class PodThresholds(Section):
    """A GPU pod, and how long it is waited for."""

    gpus: PositiveInt
    cpu: Quantity
    memory: Quantity
    node_selector: dict[str, str]
    tolerated_taints: tuple[str, ...]
    deferrable: bool
    schedule_timeout_s: PositiveInt
    startup_timeout_s: PositiveInt
    startup_check_s: PositiveInt
    poll_s: PositiveFloat
    grace_s: PositiveInt


class VisualNightThresholds(Section):
    """The night's visual analysis."""

    sampling: Literal["2fps", "keyframes", "all"]
    precision: Literal["auto", "fp32", "bf16", "int8"]
    model: str | None
    command: Annotated[tuple[str, ...], Field(min_length=1)]
    shard_bytes: PositiveInt
    shard_videos: PositiveInt
    videos_per_night: PositiveInt
    assumed_bytes: PositiveInt
    uri_template: str | None
    demo_clips: Annotated[int, Field(ge=0)]
    keep_days: PositiveInt
    reasons_shown: PositiveInt
    pods: PodThresholds

    @model_validator(mode="after")
    def _names_the_creative(self) -> "VisualNightThresholds":
        if self.uri_template is None:
            return self
        try:
            made = {self.uri_template.format(account_id="a", creative_id=each) for each in "bc"}
        except (KeyError, IndexError, ValueError) as error:
            raise ValueError(f"uri_template may only name account_id and creative_id: {error!r}") from error
        if len(made) == 1:
            raise ValueError("uri_template must name creative_id: otherwise all creatives share one video")
        return self

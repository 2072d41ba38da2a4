"""The typed form of the section about the HTTP service."""

from pydantic import model_validator

from include.config.section import PositiveFloat, PositiveInt, Section


class ServingThresholds(Section):
    """What one call may carry, and all calls together."""

    body_bytes: PositiveInt
    body_bytes_at_once: PositiveInt
    body_seconds: PositiveFloat
    statement_timeout_s: PositiveFloat
    requests_per_call: PositiveInt
    texts_per_call: PositiveInt
    images_per_request: PositiveInt
    max_tokens: PositiveInt

    @model_validator(mode="after")
    def _one_body_fits(self) -> "ServingThresholds":
        if self.body_bytes > self.body_bytes_at_once:
            raise ValueError("body_bytes_at_once must be at least body_bytes")
        return self

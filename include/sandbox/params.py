"""What Anthropic checks in the parameters of one message, live or inside a batch.

Live, a mistake is a 400; in a batch it is only found when the request is worked on, and comes back as an
`errored` result. The checks are those a caller can plausibly fail; the words follow the vendor's.
"""

from dataclasses import dataclass
from typing import Any

ROLES = {"user", "assistant"}
MODEL_PREFIX = "claude-"


@dataclass(frozen=True)
class VendorError:
    """An error as the vendor words it: its HTTP status, its type, its message, the parameter it is about."""

    status: int
    type: str
    message: str
    param: str | None = None


def flaw(params: Any, *, in_batch: bool) -> VendorError | None:
    """The first thing wrong with `params`, or None."""
    if not isinstance(params, dict):
        return _invalid("params: Input should be a valid dictionary")
    for required in ("model", "max_tokens", "messages"):
        if required not in params:
            return _invalid(f"{required}: Field required")
    return (
        _model_flaw(params["model"])
        or _max_tokens_flaw(params["max_tokens"])
        or _mode_flaw(params, in_batch)
        or _messages_flaw(params["messages"])
        or _temperature_flaw(params.get("temperature"))
        or _shape_flaw(params)
    )


def _model_flaw(model: Any) -> VendorError | None:
    if not isinstance(model, str) or not model:
        return _invalid("model: Input should be a valid string")
    if not model.startswith(MODEL_PREFIX):
        return VendorError(404, "not_found_error", f"model: {model}")
    return None


def _max_tokens_flaw(max_tokens: Any) -> VendorError | None:
    if isinstance(max_tokens, bool) or not isinstance(max_tokens, int):
        return _invalid("max_tokens: Input should be a valid integer")
    if max_tokens < 1:
        return _invalid("max_tokens: Input should be greater than or equal to 1")
    return None


def _mode_flaw(params: dict[str, Any], in_batch: bool) -> VendorError | None:
    if params.get("stream"):
        where = "in a batch" if in_batch else "in this sandbox"
        return _invalid(f"stream: streaming is not supported {where}")
    if in_batch and params.get("speed") == "fast":
        return _invalid("speed: fast mode is not supported in a batch")
    return None


def _messages_flaw(messages: Any) -> VendorError | None:
    if not isinstance(messages, list):
        return _invalid("messages: Input should be a valid list")
    if not messages:
        return _invalid("messages: at least one message is required")
    for index, message in enumerate(messages):
        if not isinstance(message, dict) or message.get("role") not in ROLES:
            return _invalid(f"messages.{index}.role: Input should be 'user' or 'assistant'")
        content = message.get("content")
        if not isinstance(content, str | list):
            return _invalid(f"messages.{index}.content: Input should be a valid string or list of blocks")
        if not content:
            return _invalid(f"messages.{index}: all messages must have non-empty content")
    return None


def _temperature_flaw(temperature: Any) -> VendorError | None:
    if temperature is None:
        return None
    if isinstance(temperature, bool) or not isinstance(temperature, int | float) or not 0 <= temperature <= 1:
        return _invalid("temperature: range: 0..1")
    return None


def _shape_flaw(params: dict[str, Any]) -> VendorError | None:
    if not isinstance(params.get("system") or "", str | list):
        return _invalid("system: Input should be a valid string or list of blocks")
    tools = params.get("tools") or []
    if not isinstance(tools, list) or not all(isinstance(t, dict) and t.get("name") for t in tools):
        return _invalid("tools: Input should be a valid list of tools with a name")
    for name in ("tool_choice", "output_config"):
        if not isinstance(params.get(name) or {}, dict):
            return _invalid(f"{name}: Input should be a valid dictionary")
    wanted = (params.get("output_config") or {}).get("format") or {}
    if not isinstance(wanted, dict) or not isinstance(wanted.get("schema") or {}, dict):
        return _invalid("output_config.format: Input should be a valid dictionary")
    if wanted.get("type") == "json_schema" and not wanted.get("schema"):
        return _invalid("output_config.format.schema: Field required")
    return None


def _invalid(message: str) -> VendorError:
    return VendorError(400, "invalid_request_error", message)

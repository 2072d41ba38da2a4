import json

import pytest

from include.llm.vendors.anthropic import read_line
from include.llm.vendors.base import Result, Unreadable


def line(result, custom_id="b1-r1-aa"):
    return json.dumps({"custom_id": custom_id, "result": result}).encode()


def succeeded(text="{}", stop_reason="end_turn", usage=None):
    return line(
        {
            "type": "succeeded",
            "message": {
                "content": [{"type": "thinking", "thinking": "..."}, {"type": "text", "text": text}],
                "stop_reason": stop_reason,
                "usage": usage or {"input_tokens": 1, "output_tokens": 2},
            },
        }
    )


def errored(kind, message="no"):
    return line({"type": "errored", "error": {"type": "error", "error": {"type": kind, "message": message}}})


def test_an_answer_is_the_text_without_the_thinking():
    result = read_line(succeeded("hello\u2028there"))
    assert isinstance(result, Result)
    assert (result.text, result.flaw, result.usage.output_tokens) == ("hello\u2028there", None, 2)


@pytest.mark.parametrize("stop_reason", ["max_tokens", "refusal", "pause_turn", None])
def test_an_unfinished_answer_has_a_flaw_and_is_still_charged(stop_reason):
    result = read_line(succeeded(stop_reason=stop_reason))
    assert result.text is None
    assert result.flaw
    assert result.usage.input_tokens == 1


@pytest.mark.parametrize("text", ["a\0b", "half \ud83d"])
def test_an_answer_that_cannot_be_stored_has_a_flaw(text):
    assert "no text" in read_line(succeeded(text)).flaw


@pytest.mark.parametrize(
    "kind", ["overloaded_error", "rate_limit_error", "api_error", "timeout_error", "new_error"]
)
def test_errors_of_the_vendor_pass(kind):
    assert read_line(errored(kind)).passing


@pytest.mark.parametrize("kind", ["invalid_request_error", "permission_error", "request_too_large"])
def test_errors_of_the_request_do_not_pass(kind):
    assert not read_line(errored(kind)).passing


def test_an_empty_account_passes_although_it_is_called_an_invalid_request():
    assert read_line(errored("invalid_request_error", "Your credit balance is too low")).passing


@pytest.mark.parametrize("kind", ["expired", "canceled"])
def test_what_was_not_worked_on_passes_and_costs_nothing(kind):
    result = read_line(line({"type": kind}))
    ours = {"canceled": "cancelled"}.get(kind, kind)
    assert (result.outcome, result.passing, result.usage) == (ours, True, None)


@pytest.mark.parametrize(
    "bad",
    [
        b"", b"{", b"null", b"[]", b"\xff\xfe", b'{"custom_id": "a"}', line({"type": "surprise"}), line({}),
        line({"type": "succeeded"}), line({"type": "errored", "error": "text"}),
        line({"type": "expired"}, "a b"), line({"type": "expired"}, 7),
        succeeded(usage={"input_tokens": "many", "output_tokens": 1}), b"9" * 5000, b"[" * 100_000,
    ],
)  # fmt: skip
def test_a_line_that_says_nothing_is_kept_with_the_reason(bad):
    result = read_line(bad)
    assert isinstance(result, Unreadable)
    assert result.reason

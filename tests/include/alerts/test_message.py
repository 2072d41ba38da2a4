"""Messages stay within Slack's limits and show text as it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.alerts import message
from include.alerts.message import SlackMessage


@given(st.text(), st.integers(1, 60))
def test_clipped_text_is_never_longer_and_only_cut_when_it_must_be(text: str, chars: int) -> None:
    clipped = message.clip(text, chars)

    assert len(clipped) <= chars
    assert clipped == text if len(text) <= chars else clipped.endswith("…")


def test_clipping_does_not_leave_half_an_entity() -> None:
    assert message.clip(message.escape("abcd<efgh"), 7) == "abcd…"


def test_text_of_others_cannot_mention_link_or_end_its_code() -> None:
    hostile = "<!channel> <http://x|y> `a` & b"

    assert "<" not in message.escape(hostile)
    assert message.code(hostile).count("`") == 2
    assert message.quote("```" + hostile).count("`") == 6


def test_a_link_cannot_be_broken_by_its_label() -> None:
    assert message.link("https://x/?a=1&b=2", "a|b>c") == "<https://x/?a=1&amp;b=2|a/b&gt;c>"


def test_long_parts_are_clipped_to_what_slack_takes() -> None:
    long = "x" * 10_000

    assert len(message.header(long)["text"]["text"]) == 150
    assert len(message.section(long)["text"]["text"]) == 3_000
    assert len(message.fields({"a": long})["fields"][0]["text"]) == 2_000
    assert len(message.fields({str(n): "v" for n in range(20)})["fields"]) == 10
    assert len(message.buttons({long: "https://x"})["elements"][0]["text"]["text"]) == 75
    assert len(message.section(message.quote(long))["text"]["text"]) <= 3_000


@pytest.mark.parametrize("url", ["javascript:alert(1)", "/dags/x", "https://" + "x" * 3_000])
def test_a_button_opens_web_pages_only(url: str) -> None:
    with pytest.raises(ValueError, match="http or https address"):
        message.buttons({"Open": url})


def test_a_message_needs_a_text_and_at_most_fifty_blocks() -> None:
    with pytest.raises(ValueError, match="needs a text"):
        SlackMessage(" ", ())
    with pytest.raises(ValueError, match="at most 50 blocks"):
        SlackMessage("x", (message.divider(),) * 51)

"""Questions to a vendor about a video: off by default, asked over HTTP, booked by modality, once."""

from datetime import date
from decimal import Decimal

import pytest
from sqlalchemy import text

from include.config import thresholds
from include.llm.errors import AnswerInvalid, PriceUnknown, VendorBusy, VendorRefused
from include.visual.hosted import Gemini, HostedVideoOff, Task, VideoNotSendable, ask_and_book
from tests.conftest import SECRETS, SETTINGS

DAY = date(2026, 5, 4)
MODEL = "gemini-2.5-flash"


@pytest.fixture
def video(tmp_path):
    """120,000 bytes: three seconds to the sandbox."""
    path = tmp_path / "ad.mp4"
    path.write_bytes(bytes(120_000))
    return path


def gemini(sandbox, *, key=SECRETS["sandbox_key"], model=MODEL, most_bytes=1_000_000, path="/gemini"):
    return Gemini(SETTINGS.url("sandbox") + path, key, model=model, most_bytes=most_bytes, timeout_s=10)


def asked(db, vendor, video, **changed):
    values = {"enabled": True, "tenant": "a1", "day": DAY, "prices": thresholds().prices, **changed}
    return ask_and_book(db, vendor, video, Task.TRANSCRIBE, **values)


def ledger(db):
    query = """
        SELECT tenant, purpose, provider, model, mode, input_tokens, video_tokens, audio_tokens,
               output_tokens, paid_usd
        FROM llm.llm_cost
    """
    with db.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def test_a_call_is_booked_by_modality_at_the_modality_s_price(sandbox, db, video):
    answer, cost = asked(db, gemini(sandbox), video)
    words = len(Task.TRANSCRIBE.value.split())
    price = next(each for each in thresholds().prices if each.model == MODEL)
    expected = (
        (words + 3 * 258) * price.input + 3 * 32 * price.audio + answer.usage.output_tokens * price.output
    ) / Decimal(1_000_000)

    assert "3 seconds" in answer.text
    assert cost.paid_usd == expected
    assert ledger(db) == [
        (
            "a1", "video_intelligence", "gemini", MODEL, "live", words, 774, 96, answer.usage.output_tokens,
            expected,
        )
    ]  # fmt: skip


def test_the_same_answer_is_booked_once(sandbox, db, video):
    for _ in range(2):
        asked(db, gemini(sandbox), video)

    assert len(ledger(db)) == 1


def test_it_is_off_by_default_and_then_nothing_is_sent(db, video):
    nowhere = Gemini("http://127.0.0.1:1", "key", model=MODEL, most_bytes=10**6, timeout_s=1)

    assert thresholds().visual.hosted.enabled is False
    with pytest.raises(HostedVideoOff, match=r"visual\.hosted\.enabled"):
        asked(db, nowhere, video, enabled=thresholds().visual.hosted.enabled)


def test_without_a_price_nothing_is_sent(db, video):
    nowhere = Gemini("http://127.0.0.1:1", "key", model="gemini-9", most_bytes=10**6, timeout_s=1)

    with pytest.raises(PriceUnknown):
        asked(db, nowhere, video)


def test_what_goes_wrong_is_sorted_by_whether_trying_again_helps(sandbox, db, video, tmp_path):
    with pytest.raises(VendorRefused, match="gemini_default"):
        asked(db, gemini(sandbox, key="wrong"), video)
    with pytest.raises(VendorRefused):
        asked(db, gemini(sandbox, path="/gemini/elsewhere"), video)
    with pytest.raises(VendorBusy):
        asked(db, Gemini("http://127.0.0.1:1", "k", model=MODEL, most_bytes=10**6, timeout_s=1), video)
    with pytest.raises(VideoNotSendable, match="at most 1,000 bytes"):
        asked(db, gemini(sandbox, most_bytes=1_000), video)
    words = tmp_path / "ad.txt"
    words.write_text("hello")
    with pytest.raises(VideoNotSendable):
        asked(db, gemini(sandbox), words)
    assert ledger(db) == []


def test_an_answer_of_another_form_is_not_used(db, video):
    import httpx

    vendor = Gemini("http://127.0.0.1:1", "k", model=MODEL, most_bytes=10**6, timeout_s=1)
    vendor._client = httpx.Client(
        base_url="http://gemini",
        transport=httpx.MockTransport(lambda _: httpx.Response(200, json={"candidates": []})),
    )
    with pytest.raises(AnswerInvalid, match="another form"):
        asked(db, vendor, video)
    assert ledger(db) == []


def test_a_blocked_answer_is_booked_before_it_is_refused(sandbox, db, video):
    blocked = video.with_name("blocked.mp4")
    blocked.write_bytes(b"blocked" + bytes(80_000))
    with pytest.raises(AnswerInvalid, match="gave no words"):
        asked(db, gemini(sandbox), blocked)

    (row,) = ledger(db)
    assert row[6] == 2 * 258
    assert row[8] == 0

"""Video intelligence at a vendor: what is said in a video, and what is seen in it, for money.

Off unless `visual.hosted.enabled` is set. Whoever offers it implements `VideoIntelligence`; `Gemini`
does. Each call is booked in the cost ledger with the vendor's own counts by modality, before its answer
is used; where the model has no price nothing is sent.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

import httpx
from sqlalchemy import Engine

from include.config.llm import Price
from include.errors import PermanentError
from include.llm.costs import book_call
from include.llm.errors import AnswerInvalid, VendorBusy, VendorRefused
from include.llm.prices import Cost, Mode, Usage, price_of

PURPOSE = "video_intelligence"
_TYPES = {".mp4": "video/mp4", ".mov": "video/quicktime", ".webm": "video/webm", ".mkv": "video/x-matroska"}
_BUSY = {408, 429, 500, 502, 503, 504}


class HostedVideoOff(PermanentError):
    """Video intelligence costs money and is not switched on."""


class VideoNotSendable(PermanentError):
    """The file is of a kind, or a size, that the vendor does not take within a request."""


class Task(StrEnum):
    """What is asked of a video."""

    TRANSCRIBE = "Write down, word for word, what is said in this video. Answer with the words alone."
    DESCRIBE = "Describe in three sentences what is shown in this advertisement, and list its texts."


@dataclass(frozen=True)
class VideoAnswer:
    """An answer, and what it is charged as.

    Attributes:
        answer_id: the vendor's name for it, so that it is booked once.
        text: None where the vendor counted the tokens and gave no words (blocked, or cut off before any).
    """

    answer_id: str
    text: str | None
    usage: Usage


class VideoIntelligence(Protocol):
    """A vendor that watches videos."""

    provider: str
    model: str

    def ask(self, video: Path, task: Task) -> VideoAnswer:
        """One question about one video."""


class Gemini:
    """Google's Gemini API, by its REST interface; the video goes within the request.

    Args:
        base_url: without the version, such as what connection `gemini_default` names.
        most_bytes: larger files are not sent.
    """

    provider = "gemini"

    def __init__(self, base_url: str, api_key: str, *, model: str, most_bytes: int, timeout_s: float) -> None:
        self.model = model
        self._most_bytes = most_bytes
        # The key goes in a header: addresses end up in logs.
        self._client = httpx.Client(
            base_url=base_url.rstrip("/"), headers={"x-goog-api-key": api_key}, timeout=timeout_s
        )

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    def ask(self, video: Path, task: Task) -> VideoAnswer:
        """One question about one video.

        Raises:
            VideoNotSendable: wrong kind, or too large.
            VendorBusy: no answer, too many requests, or an error of theirs; nothing is charged.
            VendorRefused: the key or the request is refused.
            AnswerInvalid: the answer does not say what it is charged as.
        """
        kind, size = _TYPES.get(video.suffix.lower()), video.stat().st_size
        if kind is None or size > self._most_bytes:
            raise VideoNotSendable(
                f"a {video.suffix or 'nameless'} file of {size:,} bytes is not sent to {self.provider}: it "
                f"takes {', '.join(_TYPES)} of at most {self._most_bytes:,} bytes"
            )
        picture = {"mimeType": kind, "data": base64.b64encode(video.read_bytes()).decode("ascii")}
        body = {"contents": [{"role": "user", "parts": [{"inlineData": picture}, {"text": task.value}]}]}
        try:
            answer = self._client.post(f"/v1beta/models/{self.model}:generateContent", json=body)
        except httpx.TransportError as error:
            raise VendorBusy(
                f"{self.provider} did not answer ({type(error).__name__}); it is tried again"
            ) from error
        if answer.status_code in _BUSY:
            raise VendorBusy(f"{self.provider} answered {answer.status_code}; it is tried again")
        if answer.is_error:
            raise VendorRefused(
                f"{self.provider} refused {self.model} with {answer.status_code}: check the key of "
                "connection gemini_default and visual.hosted.model"
            )
        return _read(answer, self.provider)


def ask_and_book(
    engine: Engine,
    intelligence: VideoIntelligence,
    video: Path,
    task: Task,
    *,
    enabled: bool,
    tenant: str,
    day: date,
    prices: Iterable[Price],
) -> tuple[VideoAnswer, Cost]:
    """Ask about a video and put the call on the bill of its account.

    Args:
        enabled: `visual.hosted.enabled`.
        tenant: the account whose video it is.

    Raises:
        HostedVideoOff: it is not enabled; nothing is sent.
        PriceUnknown: the model has no price on that day; nothing is sent.
        AnswerInvalid: the vendor gave no words; what it counted is booked.
    """
    if not enabled:
        raise HostedVideoOff(
            "hosted video intelligence is off: set visual.hosted.enabled in include/config/thresholds.yaml "
            "if videos may be sent to a vendor, for money"
        )
    known = tuple(prices)
    price_of(known, intelligence.provider, intelligence.model, day)
    answer = intelligence.ask(video, task)
    with engine.begin() as connection:
        cost = book_call(
            connection,
            cost_key=f"{intelligence.provider}-{answer.answer_id}",
            tenant=tenant,
            purpose=PURPOSE,
            provider=intelligence.provider,
            model=intelligence.model,
            usage=answer.usage,
            mode=Mode.LIVE,
            booked_on=day,
            prices=known,
        )
    if answer.text is None:
        raise AnswerInvalid(
            f"{intelligence.provider} gave no words about {video.name} (blocked, or cut off before any); the "
            f"call is booked under {intelligence.provider}-{answer.answer_id}: asking again costs again"
        )
    return answer, cost


def _read(answer: httpx.Response, provider: str) -> VideoAnswer:
    try:
        told = answer.json()
        candidates = told.get("candidates") or [{}]
        # A blocked prompt has no candidate, a blocked answer no content: the tokens are charged all the same.
        parts = (candidates[0].get("content") or {}).get("parts") or ()
        text = "".join(part.get("text", "") for part in parts if not part.get("thought"))
        usage = Usage.of_gemini(_snake(told["usageMetadata"]))
        return VideoAnswer(str(told["responseId"]), text or None, usage)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise AnswerInvalid(
            f"{provider} answered in another form ({type(error).__name__} {error}): nothing was kept of it"
        ) from error


def _snake(usage: Mapping[str, Any]) -> dict[str, Any]:
    """The counts under the names the ledger reads; the REST interface writes them in camel case."""
    details = usage.get("promptTokensDetails") or ()
    return {
        "prompt_token_count": usage["promptTokenCount"],
        "candidates_token_count": usage.get("candidatesTokenCount"),
        "thoughts_token_count": usage.get("thoughtsTokenCount"),
        "cached_content_token_count": usage.get("cachedContentTokenCount"),
        "prompt_tokens_details": [
            {"modality": each["modality"], "token_count": each.get("tokenCount")} for each in details
        ],
    }

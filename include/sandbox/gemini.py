"""Gemini's `generateContent` for videos within the request, as far as Nightshift asks it.

The answer is drawn from the request alone. A file that begins with `blocked` is refused by the vendor's
safety rules, which costs its tokens and gives no candidate.
Tokens are counted by modality as the vendor does, from a playing time guessed from the size of the file: a
second is 258 of video and 32 of sound.
"""

import base64
import binascii
import hashlib
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from include.sandbox.credentials import same_key

PREFIX = "/gemini"
_VIDEO_TOKENS, _AUDIO_TOKENS, _BYTES_PER_S = 258, 32, 40_000
_MOST_BYTES = 20_000_000
_BLOCKED = b"blocked"


def gemini_router(api_key: str) -> APIRouter:
    """The routes below /gemini/v1beta."""
    router = APIRouter(prefix=f"{PREFIX}/v1beta")

    @router.post("/models/{model}:generateContent")
    async def generate(model: str, request: Request) -> Response:
        if not same_key(request.headers.get("x-goog-api-key", ""), api_key):
            return _error(400, "API key not valid. Please pass a valid API key.", "INVALID_ARGUMENT")
        if not model.startswith("gemini-"):
            return _error(404, f"models/{model} is not found for API version v1beta", "NOT_FOUND")
        raw = await request.body()
        if len(raw) > _MOST_BYTES:
            return _error(413, "Request payload size exceeds the limit.", "INVALID_ARGUMENT")
        try:
            video, question = _parts(await request.json())
        except (ValueError, KeyError, IndexError, TypeError, binascii.Error):
            return _error(400, "Invalid JSON payload received.", "INVALID_ARGUMENT")
        return JSONResponse(_answer(model, video, question))

    return router


def _parts(body: Any) -> tuple[bytes, str]:
    parts = body["contents"][0]["parts"]
    data = next(part["inlineData"] for part in parts if "inlineData" in part)
    if not data["mimeType"].startswith("video/"):
        raise ValueError(data["mimeType"])
    video = base64.b64decode(data["data"], validate=True)
    return video, "".join(part.get("text", "") for part in parts)


def _answer(model: str, video: bytes, question: str) -> dict[str, Any]:
    seconds = max(1, round(len(video) / _BYTES_PER_S))
    digest = hashlib.sha256(video + question.encode()).hexdigest()
    words = max(1, len(question.split()))
    text = f"A product is shown for {seconds} seconds; a voice says why it helps."
    blocked = video.startswith(_BLOCKED)
    told = {"TEXT": words, "VIDEO": _VIDEO_TOKENS * seconds, "AUDIO": _AUDIO_TOKENS * seconds}
    prompt = sum(told.values())
    answered, thought = (0, 0) if blocked else (len(text.split()), 20)
    candidate = {"content": {"parts": [{"text": text}], "role": "model"}, "finishReason": "STOP", "index": 0}
    said = {"promptFeedback": {"blockReason": "SAFETY"}} if blocked else {"candidates": [candidate]}
    return {
        **said,
        "usageMetadata": {
            "promptTokenCount": prompt,
            "candidatesTokenCount": answered,
            "thoughtsTokenCount": thought,
            "totalTokenCount": prompt + answered + thought,
            "promptTokensDetails": [{"modality": name, "tokenCount": count} for name, count in told.items()],
        },
        "modelVersion": model,
        "responseId": digest[:24],
    }


def _error(code: int, message: str, status: str) -> JSONResponse:
    return JSONResponse({"error": {"code": code, "message": message, "status": status}}, code)

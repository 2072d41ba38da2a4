"""Our answers beside recordings of Anthropic's real API: same fields, same words, same headers."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import anthropic
import httpx
import pytest
import yaml

from include.sandbox.server import SandboxServer

from .conftest import BATCH_SECONDS, advance

# Set by the network between the vendor and the recorder, not by the API.
OF_THE_NETWORK = {
    "cf-cache-status",
    "cf-ray",
    "connection",
    "content-encoding",
    "content-type",
    "date",
    "server",
    "transfer-encoding",
    "via",
}


@pytest.fixture
def recordings(shared_data: Path) -> Path:
    """Folder of the recordings; the test is skipped where they are not beside the repository."""
    folder = shared_data / "batch_recordings"
    if not folder.is_dir():
        pytest.skip("the recordings of the real API are not beside the repository")
    return folder


def _replayed(sandbox: SandboxServer, file: Path) -> list[tuple[str, Any, Any, Any, Any]]:
    """Send each distinct recorded request to the sandbox: name, both bodies, both sets of headers."""
    pairs, ours, seen = [], "", set()
    for interaction in yaml.safe_load(file.read_text())["interactions"]:
        request, response = interaction["request"], interaction["response"]
        if "api.anthropic.com" not in request["uri"]:
            continue
        body = response["body"]["string"]
        body = body if isinstance(body, str) else _unpacked(body)
        path = request["uri"].removeprefix("https://api.anthropic.com")
        theirs = path.split("/")[4] if path.count("/") > 3 else ""
        name = f"{request['method']} {path.replace(theirs, '{id}') if theirs else path}"
        status = json.loads(body).get("processing_status") if name.endswith("{id}") else None
        if (name, status) in seen:
            continue
        seen.add((name, status))
        if status == "ended":
            advance(sandbox, BATCH_SECONDS)
        answered = sandbox.client.request(
            request["method"],
            f"/anthropic{path.replace(theirs, ours) if theirs else path}",
            content=request["body"] or None,
            headers={"anthropic-version": "2023-06-01"},
        )
        assert answered.status_code == response["status"]["code"]
        if not theirs:
            ours = answered.json()["id"]
        pairs.append((name, body, answered.text, response["headers"], answered.headers))
    return pairs


def _unpacked(body: bytes) -> str:
    return (gzip.decompress(body) if body.startswith(b"\x1f\x8b") else body).decode()


@pytest.mark.parametrize("file", ["anthropic_basic_batch_completion.yaml", "anthropic_batch_cancel.yaml"])
def test_batches_look_like_the_recorded_ones(sandbox: SandboxServer, recordings: Path, file: str) -> None:
    replayed = _replayed(sandbox, recordings / file)
    assert len(replayed) >= 3
    for name, theirs, ours, their_headers, our_headers in replayed:
        if name.endswith("/results"):
            continue
        recorded, answered = json.loads(theirs), json.loads(ours)
        assert list(answered) == list(recorded), name
        assert answered["request_counts"] == recorded["request_counts"], name
        assert answered["processing_status"] == recorded["processing_status"], name
        for field in recorded:
            assert type(answered[field]) is type(recorded[field]), (name, field)
        assert len(answered["id"]) == len(recorded["id"])
        _check_headers(their_headers, our_headers)


def test_results_look_like_the_recorded_ones(sandbox: SandboxServer, recordings: Path) -> None:
    replayed = _replayed(sandbox, recordings / "anthropic_basic_batch_completion.yaml")
    _, theirs, ours, their_headers, our_headers = replayed[-1]
    recorded = {line["custom_id"]: line for line in map(json.loads, theirs.splitlines())}
    answered = {line["custom_id"]: line for line in map(json.loads, ours.splitlines())}
    assert answered.keys() == recorded.keys()
    for custom_id, line in recorded.items():
        given = answered[custom_id]
        assert given.keys() == line.keys()
        assert given["result"]["type"] == line["result"]["type"]
        message, expected = given["result"]["message"], line["result"]["message"]
        assert message.keys() == expected.keys()
        # The recording is older than `service_tier`.
        assert message["usage"].keys() >= expected["usage"].keys()
        assert message["content"][0].keys() == expected["content"][0].keys()
        assert message["model"] == expected["model"]
    assert our_headers["content-disposition"].endswith('_results.jsonl"')
    _check_headers(their_headers, our_headers)


def _check_headers(recorded: dict[str, Any], answered: httpx.Headers) -> None:
    for name in recorded:
        if name.lower() not in OF_THE_NETWORK:
            assert name.lower() in answered, name
    assert len(answered["request-id"]) == len(recorded["request-id"][0])


def test_a_batch_under_way_says_when_to_look_again(claude: anthropic.Anthropic) -> None:
    batch = claude.messages.batches.create(
        requests=[{"custom_id": "a", "params": {"model": "claude-x", "max_tokens": 1, "messages": []}}]
    )
    raw = claude.messages.batches.with_raw_response.retrieve(batch.id)
    assert raw.headers["retry-after"] == "10"

"""Our answers beside recordings of OpenAI's real API: same fields, same words, same headers."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from include.sandbox.server import SandboxServer

from .conftest import BATCH_SECONDS, advance

HOST = "https://api.openai.com"
TOLD = {"openai-organization", "openai-processing-ms", "openai-version", "x-request-id"}


@pytest.fixture
def recordings(shared_data: Path) -> Path:
    folder = shared_data / "batch_recordings"
    if not folder.is_dir():
        pytest.skip("the recordings of the real API are not beside the repository")
    return folder


def _text(body: dict[str, Any]) -> str:
    given = body["string"]
    if isinstance(given, str):
        return given
    return (gzip.decompress(given) if given.startswith(b"\x1f\x8b") else given).decode()


@pytest.mark.parametrize("file", ["openai_basic_batch_completion.yaml", "openai_batch_cancel.yaml"])
def test_files_and_batches_look_like_the_recorded_ones(
    sandbox: SandboxServer, recordings: Path, file: str
) -> None:
    ids: dict[str, str] = {}
    statuses = []
    for interaction in yaml.safe_load((recordings / file).read_text())["interactions"]:
        request, response = interaction["request"], interaction["response"]
        if not request["uri"].startswith(HOST):
            continue
        path, theirs = request["uri"].removeprefix(HOST), _text(response["body"])
        recorded = None if path.endswith("/content") else json.loads(theirs)
        if recorded and recorded.get("status") == "in_progress":
            advance(sandbox, BATCH_SECONDS / 10)
        elif recorded and recorded.get("status") in ("finalizing", "completed"):
            advance(sandbox, BATCH_SECONDS)
        body = request["body"] or b""
        body = body if isinstance(body, bytes) else body.encode()
        for old, new in ids.items():
            path, body = path.replace(old, new), body.replace(old.encode(), new.encode())
        headers = {
            name: value[0] for name, value in request["headers"].items() if name.lower() == "content-type"
        }
        answered = sandbox.client.request(request["method"], f"/openai{path}", content=body, headers=headers)
        assert answered.status_code == response["status"]["code"], answered.text
        assert {name.lower() for name in answered.headers} >= TOLD
        if recorded is None:
            _same_lines(theirs, answered.text)
            continue
        ours = answered.json()
        assert set(recorded) <= set(ours), path
        for name in ("object", "endpoint", "completion_window", "metadata", "purpose", "bytes", "errors"):
            assert ours.get(name) == recorded.get(name), name
        ids[recorded["id"]] = ours["id"]
        if output := recorded.get("output_file_id"):
            ids[output] = ours["output_file_id"]
        if ours["object"] == "batch":
            statuses.append((recorded["status"], ours["status"]))
    passing = ("in_progress", "finalizing")
    assert all(ours == theirs or theirs in passing for theirs, ours in statuses), statuses


def _same_lines(theirs: str, ours: str) -> None:
    recorded = {told["custom_id"]: told for told in map(json.loads, theirs.splitlines())}
    answered = {told["custom_id"]: told for told in map(json.loads, ours.splitlines())}
    assert answered.keys() == recorded.keys()
    for custom_id, told in recorded.items():
        given = answered[custom_id]
        assert given.keys() == told.keys()
        assert given["response"].keys() == told["response"].keys()
        assert given["response"]["body"].keys() == told["response"]["body"].keys()
        assert given["response"]["body"]["usage"].keys() == told["response"]["body"]["usage"].keys()
        choices = given["response"]["body"]["choices"][0], told["response"]["body"]["choices"][0]
        assert choices[0].keys() == choices[1].keys()
        assert choices[0]["message"].keys() == choices[1]["message"].keys()

"""Keys, sizes, health and documentation: what stands around the routes."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time

import httpx
import pytest

from include.db import make_engine
from include.serving import ApiKeys, ApiKeysUnusable
from include.serving.llm_bodies import EXAMPLES
from include.stack.settings import REPOSITORY
from tests.include.serving.conftest import EVERYBODYS, PATH, ask, question, stored

JSON = {"content-type": "application/json"}


def beginning(length):
    """Of a call whose body has `length` bytes, of which one comes."""
    headers = {"host": "x", "x-api-key": EVERYBODYS, "content-length": length, **JSON}
    lines = [f"POST {PATH} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", "{"]
    return "\r\n".join(lines).encode()


@pytest.mark.parametrize(
    "headers", [{}, {"x-api-key": "a-key-that-is-not-known"}, {"authorization": f"Basic {EVERYBODYS}"}]
)
def test_without_a_known_key_nothing_is_told(client, db, headers):
    del client.headers["x-api-key"]
    answers = [
        client.post(PATH, json={"requests": [question()]}, headers=headers),
        client.get(f"{PATH}/1", headers=headers),
        client.get("/api/nothing", headers=headers),
    ]
    for answer in answers:
        assert answer.status_code == 401
        assert answer.json()["error"]["type"] == "unauthorized"
        assert answer.headers["www-authenticate"] == "Bearer"
    assert stored(db) == 0


def test_a_bearer_token_is_as_good_as_the_header(client):
    del client.headers["x-api-key"]
    client.headers["authorization"] = f"Bearer {EVERYBODYS}"
    assert ask(client, question()).status_code == 202


def test_a_key_under_several_names_is_good_for_each_of_them():
    shared, other = "one-key-for-two-accounts", "another-key-altogether"
    keys = ApiKeys({"a1": shared, "a2": shared, "a3": other})
    caller = keys.caller(shared)
    assert caller is not None
    assert [caller.may_ask_for(tenant) for tenant in ("a1", "a2", "a3", "*")] == [True, True, False, False]
    assert keys.caller("") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "needs an API key: set NIGHTSHIFT_API_KEYS"),
        ("{}", "needs an API key"),
        ("a-secret-that-is-no-json", "not a JSON object"),
        ('["a-secret-in-a-list"]', "not an object"),
        ('{"*": "short"}', "16 or more"),
        ('{"*": ""}', "16 or more"),
        ('{"*": 1234567890123456789}', "16 or more"),
        ('{"*": "a secret with spaces in it"}', "without a space"),
        ('{"": "a-secret-for-no-tenant-at-all"}', "must have a name"),
        ('{"a": "a-secret-said-two-times", "a": "a-secret-said-two-times"}', "each tenant once"),
    ],
)
def test_keys_that_are_none_stop_the_start_and_are_not_repeated(text, message):
    with pytest.raises(ApiKeysUnusable, match=message) as refused:
        ApiKeys.from_environment({"NIGHTSHIFT_API_KEYS": text})
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_is_too_large_is_not_taken_in(make_client, db, chunked):
    client = make_client(body_bytes=2_000, body_bytes_at_once=2_000)
    body = b'{"requests": [' + b" " * 2_000_000 + b"]}"
    pieces = (body[start : start + 50_000] for start in range(0, len(body), 50_000))
    refused = client.post(PATH, content=pieces if chunked else body, headers=JSON)
    assert refused.status_code == 413
    assert "2,000 bytes a call may carry" in refused.json()["error"]["message"]
    assert ask(client, question()).status_code == 202


def test_who_comes_when_the_memory_is_spent_is_asked_to_come_back(make_client):
    client = make_client(body_bytes=2_000, body_bytes_at_once=2_000)
    address = (client.base_url.host, client.base_url.port)
    with socket.create_connection(address) as slow:
        slow.sendall(beginning(1_900))
        deadline = time.monotonic() + 10
        while (busy := ask(client, question())).status_code != 429:
            assert time.monotonic() < deadline
        assert busy.json()["error"]["type"] == "busy"
        assert int(busy.headers["retry-after"]) > 0
    # The slow one has gone away, and its room is free again.
    deadline = time.monotonic() + 10
    while ask(client, question()).status_code != 202:
        assert time.monotonic() < deadline


def test_a_body_that_does_not_arrive_is_given_up(make_client):
    client = make_client(body_seconds=0.2)
    with socket.create_connection((client.base_url.host, client.base_url.port)) as slow:
        slow.sendall(beginning(100))
        slow.settimeout(10)
        assert slow.recv(100).startswith(b"HTTP/1.1 408")


def test_only_json_is_taken(client):
    refused = client.post(PATH, data={"requests": "x"})
    assert refused.status_code == 415
    assert "application/json" in refused.json()["error"]["message"]


def test_wrong_addresses_and_ways_are_told_in_the_same_form(client):
    assert client.get("/api/nothing").json()["error"]["type"] == "not_found"
    assert client.put(PATH, json={}).json()["error"]["type"] == "method_not_allowed"


def test_health_asks_the_process_and_readiness_the_database(make_client, db, postgres):
    alone = make_engine(postgres.dsn("no_such_database"))
    client, lonely = make_client(), make_client(engine=alone)
    assert client.get("/readyz").json() == {"database": "ok"}
    assert lonely.get("/healthz").status_code == 200
    assert lonely.get("/readyz").status_code == 503

    unavailable = ask(lonely, question())
    assert unavailable.status_code == 503
    assert unavailable.json()["error"]["type"] == "unavailable"
    assert "no_such_database" not in unavailable.text
    assert int(unavailable.headers["retry-after"]) > 0
    alone.dispose()


def test_the_documentation_describes_the_calls_and_its_examples_work(client):
    described = httpx.get(client.base_url.join("/openapi.json")).json()
    post = described["paths"][PATH]["post"]
    assert set(post["responses"]) == {"202", "401", "403", "413", "415", "422", "429", "503"}
    assert {"APIKeyHeader", "HTTPBearer"} == set(described["components"]["securitySchemes"])
    examples = post["requestBody"]["content"]["application/json"]["examples"]
    assert set(examples) == set(EXAMPLES)
    for example in examples.values():
        assert client.post(PATH, json=example["value"]).status_code == 202


def test_the_program_serves_and_without_a_key_says_what_it_lacks(db):
    command = [sys.executable, "-m", "include.serving", "--port"]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    environment = {**os.environ, "NIGHTSHIFT_API_KEYS": "", "AIRFLOW_CONN_MLFLOW_DEFAULT": ""}
    lacking = subprocess.run(
        [*command, port], env=environment, cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert lacking.returncode == 2
    assert lacking.stderr.startswith("serving: the service needs an API key: set NIGHTSHIFT_API_KEYS")

    environment["NIGHTSHIFT_API_KEYS"] = f'{{"*": "{EVERYBODYS}"}}'
    server = subprocess.Popen(
        [*command, port], env=environment, cwd=REPOSITORY, stderr=subprocess.PIPE, text=True
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers={"x-api-key": EVERYBODYS}) as client:
            deadline = time.monotonic() + 60
            while True:
                try:
                    assert client.get("/readyz").status_code == 200
                    break
                except httpx.ConnectError:
                    assert server.poll() is None
                    assert time.monotonic() < deadline
                    time.sleep(0.1)
            assert ask(client, question("a secret of a1")).status_code == 202
    finally:
        server.terminate()
        _, said = server.communicate(timeout=20)
    assert stored(db) == 1
    # What was asked, and the key, are not in the log.
    assert "1 requests asked, 1 of them new" in said
    assert "secret" not in said
    assert EVERYBODYS not in said

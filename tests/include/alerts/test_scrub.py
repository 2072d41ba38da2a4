"""What people read holds no secrets."""

import pytest

from include.alerts.scrub import first_line, scrub


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("postgresql://postgres:hunter2@db:5432/nightshift refused", "hunter2"),
        ("redis://:p@ss/w0rd@cache:6379/0", "w0rd"),
        ("psql: password=hunter2 host=db", "hunter2"),
        ('{"password": "hunter two", "user": "x"}', "hunter two"),
        ("{'api_key': 'k-123456'}", "k-123456"),
        ("ANTHROPIC_API_KEY=abc123 is wrong", "abc123"),
        ("Authorization: Bearer abcdefgh12345678", "abcdefgh12345678"),
        ("headers={'authorization': 'Basic dXNlcjpwYXNz'}", "dXNlcjpwYXNz"),
        ("got Bearer abcdefgh12345678 back", "abcdefgh12345678"),
        ("key sk-ant-api03-abcDEF-123_x refused", "abcDEF"),
        ("token xoxb-1234-5678-abcdef", "5678"),
        ("https://hooks.slack.com/services/T0/B0/abcdef123", "abcdef123"),
        ("GET /v23.0/act_1/insights?access_token=EAAabcDEF123&limit=5", "EAAabcDEF123"),
        ("EAABsbCS1iHgBAKZCxyz0123456789", "iHgBAKZ"),
        ("AKIAIOSFODNN7EXAMPLE", "IOSFODNN7"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "eyJzdWIi"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIabc\n-----END RSA PRIVATE KEY-----", "MIIabc"),
        ("aB3" * 15, "aB3aB3"),
        ("DETAIL: Key (email)=(ada.lovelace@example.com) exists", "lovelace"),
        ("called +49 170 1234567 twice", "1234567"),
        ("client 8.8.8.8 blocked", "8.8.8.8"),
        ("client 2606:4700:4700::1111 blocked", "4700"),
    ],
)
def test_secrets_and_personal_data_are_taken_out(text: str, secret: str) -> None:
    assert secret not in scrub(text)


@pytest.mark.parametrize(
    "text",
    [
        'connection to server at "127.0.0.1", port 5432 failed: password authentication failed for user "x"',
        "KeyError: 'spend' in row 12 of export.csv",
        "run manual__2025-11-24T02:15:00+00:00 of train_ctr_model at 10.0.0.7:8080",
        "only 12 rows of 200 wanted: load more days with `python -m include.simulator load --days 90`",
        "input_tokens: 1200, output_tokens 35",
        "batch msgbatch_01HkcTjaV5uDC8jWR4ZsDV8d ended",
        "nightshift://models/ctr, version 7, https://example.com/a/b?day=2025-11-24",
        "12:34:56 late",
    ],
)
def test_what_helps_to_repair_is_left_alone(text: str) -> None:
    assert scrub(text) == text


def test_the_first_line_names_the_kind_of_error_and_drops_the_rest() -> None:
    error = ValueError("\n  bad row 7, token=abc \n[SQL: select 1]")

    assert first_line(error) == "ValueError: bad row 7, token=***"


def test_an_error_without_a_message_is_told_by_its_kind() -> None:
    assert first_line(RuntimeError()) == "RuntimeError"

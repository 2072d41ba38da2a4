import stat

import pytest

from include.stack.secrets import SECRETS, SecretsUnreadable, load_or_make_secrets


def test_secrets_are_made_once_and_are_the_owners_alone(tmp_path):
    path = tmp_path / "secrets.json"
    first = load_or_make_secrets(path, environ={})
    assert set(first) == set(SECRETS)
    assert len(set(first.values())) == len(SECRETS)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_or_make_secrets(path, environ={}) == first


def test_two_machines_never_share_a_password(tmp_path):
    one = load_or_make_secrets(tmp_path / "one.json", environ={})
    two = load_or_make_secrets(tmp_path / "two.json", environ={})
    assert not set(one.values()) & set(two.values())


def test_the_environment_wins_and_is_not_written_down(tmp_path):
    path = tmp_path / "secrets.json"
    secrets = load_or_make_secrets(path, environ={"NIGHTSHIFT_AIRFLOW_PASSWORD": "from-the-environment"})
    assert secrets["airflow_password"] == "from-the-environment"
    assert "from-the-environment" not in path.read_text()


@pytest.mark.parametrize("text", ["{half", "[]", ""])
def test_a_damaged_file_is_never_overwritten(tmp_path, text):
    path = tmp_path / "secrets.json"
    path.write_text(text)
    with pytest.raises(SecretsUnreadable, match=r"secrets\.json"):
        load_or_make_secrets(path, environ={})
    assert path.read_text() == text


def test_a_secret_added_later_leaves_the_others_alone(tmp_path):
    path = tmp_path / "secrets.json"
    path.write_text('{"postgres_password": "kept"}')
    secrets = load_or_make_secrets(path, environ={})
    assert secrets["postgres_password"] == "kept"
    assert set(secrets) == set(SECRETS)

import socket

import pytest

from include.stack.settings import PORTS, FolderUnusable, PortUnusable, StackSettings, require_free_ports


def test_ports_come_from_their_variables(tmp_path):
    settings = StackSettings.from_environment(
        {"NIGHTSHIFT_VAR": str(tmp_path), "NIGHTSHIFT_AIRFLOW_PORT": "9999"}
    )
    assert settings.ports["airflow"] == 9999
    assert settings.ports["mlflow"] == PORTS["mlflow"][1]
    assert settings.url("airflow") == "http://127.0.0.1:9999"


@pytest.mark.parametrize("text", ["eighty", "0", "65536", "-1", "80.5"])
def test_what_is_no_port_is_refused_by_name(text):
    with pytest.raises(PortUnusable, match=r"NIGHTSHIFT_AIRFLOW_PORT='.*' is not a port"):
        StackSettings.from_environment({"NIGHTSHIFT_AIRFLOW_PORT": text})


def test_two_services_on_one_port_are_refused_with_both_variables():
    with pytest.raises(PortUnusable, match=r"NIGHTSHIFT_MLFLOW_PORT or NIGHTSHIFT_SANDBOX_PORT"):
        StackSettings.from_environment({"NIGHTSHIFT_MLFLOW_PORT": "8090"})


def test_a_port_in_use_is_named_with_the_variable_that_moves_the_service(tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        settings = StackSettings.from_environment(
            {"NIGHTSHIFT_VAR": str(tmp_path), "NIGHTSHIFT_MLFLOW_PORT": str(port)}
        )
        with pytest.raises(PortUnusable, match=f"port {port}, which mlflow wants.*NIGHTSHIFT_MLFLOW_PORT"):
            require_free_ports(settings)


def test_a_port_that_everybody_may_reach_counts_as_taken(tmp_path):
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("0.0.0.0", 0))  # noqa: S104 - what is tested
        other.listen()
        settings = StackSettings.from_environment(
            {"NIGHTSHIFT_VAR": str(tmp_path), "NIGHTSHIFT_REDIS_PORT": str(other.getsockname()[1])}
        )
        with pytest.raises(PortUnusable, match="which redis wants, is in use"):
            require_free_ports(settings)


def test_one_folder_has_one_name_however_it_is_reached(tmp_path, monkeypatch):
    (tmp_path / "link").symlink_to(tmp_path / "var")
    monkeypatch.chdir(tmp_path)
    spellings = (str(tmp_path / "var"), "var", "./other/../var", str(tmp_path / "link"))
    assert {StackSettings.from_environment({"NIGHTSHIFT_VAR": s}).var for s in spellings} == {
        (tmp_path / "var").resolve()
    }


@pytest.mark.parametrize("letter", ['"', "#", "%", ";", ":", "\\", "\n"])
def test_a_folder_that_no_configuration_file_can_hold_is_refused(letter):
    with pytest.raises(FolderUnusable, match="set NIGHTSHIFT_VAR to another"):
        StackSettings.from_environment({"NIGHTSHIFT_VAR": f"a{letter}b"})

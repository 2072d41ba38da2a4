"""docker-compose.airflow.yml is valid, complete, documented, and safe by default."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import psycopg
import pytest
import yaml
from jsonschema.validators import validator_for

from include.stack.environment import DATABASES, connections
from include.stack.postgres import BINARIES, Cluster
from include.stack.secrets import load_or_make_secrets
from include.stack.settings import REPOSITORY, StackSettings

COMPOSE = REPOSITORY / "docker-compose.airflow.yml"
EXAMPLE = REPOSITORY / ".env.example"
INIT_SQL = REPOSITORY / "include/images/postgres/10_databases.sql"
DOCKERFILES = sorted((REPOSITORY / "include/images").glob("*/Dockerfile"))

# ${NAME}, ${NAME:-default} and ${NAME:?message}, but not $$ which stands for a plain dollar sign.
VARIABLE = re.compile(r"(?<!\$)\$\{(?P<name>\w+)(?:(?P<how>:-|:\?)(?P<rest>[^}]*))?\}")
SECRET = re.compile(r"PASSWORD|SECRET|TOKEN|FERNET|API_KEY|_AUTH$|SANDBOX_KEY$")
# Belong to a profile, whose command refuses to start without them: Compose would ask everybody for them.
ASKED_FOR_BY_A_PROFILE = {"FLOWER_BASIC_AUTH", "NIGHTSHIFT_SANDBOX_KEY"}


def interpolated(node: Any, values: dict[str, str]) -> Any:
    """A compose file with its variables put in, as Compose does it.

    Raises:
        KeyError: a required variable has no value.
    """
    if isinstance(node, dict):
        return {key: interpolated(value, values) for key, value in node.items()}
    if isinstance(node, list):
        return [interpolated(value, values) for value in node]
    if not isinstance(node, str):
        return node

    def value(found: re.Match[str]) -> str:
        name = found["name"]
        if values.get(name):
            return values[name]
        if found["how"] == ":?":
            raise KeyError(f"{name}: {found['rest']}")
        return found["rest"] or ""

    return VARIABLE.sub(value, node).replace("$$", "$")


@pytest.fixture(scope="module")
def raw() -> dict[str, Any]:
    return yaml.safe_load(COMPOSE.read_text())  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def required() -> dict[str, str]:
    """Values for what .env.example says is required."""
    return {name: f"value-of-{name}" for name, value in _example() if value is not None}


@pytest.fixture(scope="module")
def compose(raw: dict[str, Any], required: dict[str, str]) -> dict[str, Any]:
    return interpolated(raw, required)  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    """The schema of the Compose specification (Apache-2.0), which the package check-jsonschema carries."""
    package = importlib.util.find_spec("check_jsonschema")
    assert package, "check-jsonschema is in requirements-dev.txt: run `make setup`"
    assert package.origin
    path = Path(package.origin).parent / "builtin_schemas" / "vendor" / "compose-spec.json"
    return json.loads(path.read_text())  # type: ignore[no-any-return]


def _example() -> Iterator[tuple[str, str | None]]:
    """Variables of .env.example; those commented out, which are optional, without a value."""
    for line in EXAMPLE.read_text().splitlines():
        if found := re.fullmatch(r"(# )?([A-Z][A-Z0-9_]*)=(.*)", line):
            yield found[2], None if found[1] else found[3]


def test_it_is_valid_by_the_schema_of_the_compose_specification(
    compose: dict[str, Any], schema: dict[str, Any]
) -> None:
    validator_for(schema)(schema).validate(compose)


def test_the_schema_sees_a_wrong_file(compose: dict[str, Any], schema: dict[str, Any]) -> None:
    wrong = compose | {"services": {"redis": {"imagine": "redis"}}}

    with pytest.raises(jsonschema.ValidationError):
        validator_for(schema)(schema).validate(wrong)


def test_all_services_of_the_design_are_there(compose: dict[str, Any]) -> None:
    profiles = {name: service.get("profiles", []) for name, service in compose["services"].items()}

    assert {name for name, wanted in profiles.items() if not wanted} == {
        "postgres",
        "redis",
        "mlflow",
        "airflow-init",
        "airflow-apiserver",
        "airflow-scheduler",
        "airflow-dag-processor",
        "airflow-worker",
        "airflow-triggerer",
        "serving",
    }
    assert {name: wanted for name, wanted in profiles.items() if wanted} == {
        "flower": ["flower"],
        "sandbox": ["sandbox"],
    }


def test_every_variable_is_in_the_example_and_none_there_is_unknown() -> None:
    used = {found["name"] for found in VARIABLE.finditer(COMPOSE.read_text())}
    documented = dict(_example())

    assert used == set(documented)


def test_required_and_optional_are_what_the_example_says() -> None:
    hows: dict[str, set[str | None]] = {}
    for found in VARIABLE.finditer(COMPOSE.read_text()):
        hows.setdefault(found["name"], set()).add(found["how"])

    assert {name for name, how in hows.items() if how == {":?"}} == {
        name for name, value in _example() if value is not None
    }
    assert {name for name, how in hows.items() if None in how or len(how) > 1} == set()


def test_defaults_shown_in_the_example_are_the_defaults() -> None:
    shown = dict(
        re.fullmatch(r"# ([A-Z0-9_]+)=(.*)", line).groups()  # type: ignore[union-attr]
        for line in EXAMPLE.read_text().splitlines()
        if re.fullmatch(r"# [A-Z][A-Z0-9_]*=.*", line)
    )

    for found in VARIABLE.finditer(COMPOSE.read_text()):
        if found["how"] == ":-":
            assert shown[found["name"]].strip('"') == found["rest"], found["name"]


def test_no_secret_has_a_default(raw: dict[str, Any]) -> None:
    for found in VARIABLE.finditer(COMPOSE.read_text()):
        if SECRET.search(found["name"]):
            assert found["how"] == ":?" or (found["name"] in ASKED_FOR_BY_A_PROFILE and not found["rest"])
    assert all(not value for _, value in _example() if value is not None)
    for name in sorted(dict(_example())):
        if SECRET.search(name) and name not in ASKED_FOR_BY_A_PROFILE:
            others = {other: "x" for other, value in _example() if value is not None and other != name}
            with pytest.raises(KeyError, match=name):
                interpolated(raw, others)


def test_only_loopback_is_listened_on(compose: dict[str, Any]) -> None:
    ports = [port for service in compose["services"].values() for port in service.get("ports", [])]

    assert len(ports) == 5
    assert all(re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port) for port in ports)
    assert all(service.get("network_mode") is None for service in compose["services"].values())


def test_every_image_is_a_variable_with_a_version(raw: dict[str, Any]) -> None:
    for name, service in raw["services"].items():
        found = VARIABLE.fullmatch(service["image"])
        assert found, name
        assert re.search(r":(?!latest)[\w.-]*\d", found["rest"]), f"{name}: {found['rest']} names no version"
    for dockerfile in DOCKERFILES:
        assert re.search(
            r"^ARG BASE_IMAGE=\S+:(?!latest)\S*\d\S*\nFROM \$\{BASE_IMAGE\}$", dockerfile.read_text(), re.M
        )


def test_every_service_that_stays_is_checked_and_comes_back(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        if name == "airflow-init":
            assert service["restart"] == "no"
            continue
        assert service["restart"] == "unless-stopped", name
        assert {"test", "interval", "timeout", "retries", "start_period"} <= set(service["healthcheck"]), name


def test_nobody_waits_for_what_is_never_told(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for name, service in services.items():
        for other, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                assert "healthcheck" in services[other], f"{name} waits for {other}"
            else:
                assert how["condition"] == "service_completed_successfully"
                assert services[other]["restart"] == "no", f"{name} waits for {other}"
    for name, service in services.items():
        if name.startswith("airflow-") and name != "airflow-init":
            assert {"postgres", "redis", "airflow-init"} <= set(service["depends_on"]), name


def test_all_of_airflow_shares_one_configuration(compose: dict[str, Any]) -> None:
    airflow = {
        name: s for name, s in compose["services"].items() if name.startswith("airflow-") or name == "flower"
    }
    shared = set.intersection(*(set(service["environment"].items()) for service in airflow.values()))
    names = {name for name, _ in shared}

    assert {
        "AIRFLOW__API_AUTH__JWT_SECRET",
        "AIRFLOW__CORE__FERNET_KEY",
        "AIRFLOW__API__SECRET_KEY",
        "AIRFLOW__CORE__EXECUTOR",
        "AIRFLOW__CORE__AUTH_MANAGER",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN",
        "AIRFLOW__CELERY__BROKER_URL",
    } <= names
    assert len({service["image"] for service in airflow.values()}) == 1


def test_the_options_it_sets_are_options_airflow_has(compose: dict[str, Any]) -> None:
    from airflow.configuration import conf

    known = conf.configuration_description
    for service in compose["services"].values():
        for name in service.get("environment", {}):
            if found := re.fullmatch(r"AIRFLOW__([A-Z_]+?)__([A-Z_]+)", name):
                section, option = found[1].lower(), found[2].lower()
                assert option in known[section]["options"], name


def test_the_dags_find_the_same_connections_as_on_a_laptop(compose: dict[str, Any], tmp_path: Path) -> None:
    local = connections(StackSettings.from_environment({}), load_or_make_secrets(tmp_path / "s.json", {}))
    here = compose["services"]["airflow-worker"]["environment"]

    assert {name for name in here if name.startswith("AIRFLOW_CONN_")} == set(local)
    for name, laptop in local.items():
        wanted, found = json.loads(laptop), json.loads(here[name])
        assert found["conn_type"] == wanted["conn_type"], name
        # `poll_seconds` hurries the sandbox, which is quicker than the vendor.
        assert set(found.get("extra", {})) == set(wanted.get("extra", {})) - {"poll_seconds"}, name
        assert set(wanted) - set(found) <= {"extra"}, name


def test_what_the_dockerfiles_copy_is_there_and_let_through() -> None:
    allowed = (REPOSITORY / ".dockerignore").read_text().splitlines()
    for dockerfile in DOCKERFILES:
        copied = re.findall(r"^COPY (\S+) ", dockerfile.read_text(), re.M)
        assert copied
        for source in copied:
            assert (REPOSITORY / source).exists(), source
            assert f"!{source}" in allowed, source


def test_mounted_files_are_there(compose: dict[str, Any]) -> None:
    volumes = [volume for service in compose["services"].values() for volume in service.get("volumes", [])]
    for volume in volumes:
        source = volume.split(":")[0]
        assert (REPOSITORY / source).exists() if source.startswith(".") else source in compose["volumes"]


def test_the_init_script_makes_three_databases_that_keep_to_themselves() -> None:
    """The very file the image runs, by the same client, on a PostgreSQL of its own."""
    passwords = {f"{name.upper()}_DB_PASSWORD": f"pass-of-{name}'s" for name in DATABASES}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="nightshift-compose-") as folder:
        cluster = Cluster(Path(folder) / "postgres", port, "super", durable=False)
        cluster.make_if_absent()
        server = subprocess.Popen(
            cluster.command(),
            user=cluster.system_user,
            cwd="/",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
        )
        try:
            deadline = time.monotonic() + 30
            while not cluster.accepts_connections() and time.monotonic() < deadline:
                time.sleep(0.1)
            done = subprocess.run(
                [
                    BINARIES / "psql",
                    "--no-psqlrc",
                    "-v",
                    "ON_ERROR_STOP=1",
                    "-d",
                    cluster.dsn(),
                    "-f",
                    INIT_SQL,
                ],
                env=os.environ | passwords,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            for name in DATABASES:
                with psycopg.connect(_dsn(port, name, name)) as connection:
                    connection.execute("CREATE TABLE mine (id integer)")
                other = DATABASES[DATABASES.index(name) - 1]
                with pytest.raises(psycopg.OperationalError, match="permission denied"):
                    psycopg.connect(_dsn(port, name, other))
            with psycopg.connect(_dsn(port, "nightshift", "nightshift")) as connection:
                assert connection.execute("SELECT '[1,2]'::vector").fetchone() == ("[1,2]",)
        finally:
            server.terminate()
            server.wait(20)


def _dsn(port: int, role: str, database: str) -> str:
    return psycopg.conninfo.make_conninfo(
        host="127.0.0.1", port=port, user=role, password=f"pass-of-{role}'s", dbname=database
    )

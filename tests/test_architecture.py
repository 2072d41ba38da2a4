"""The rooms keep to themselves: imports run one way, files are short and named for what they hold."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from include.stack.settings import REPOSITORY

LINT_IMPORTS = Path(sys.executable).parent / "lint-imports"
LONGEST = 400
SAY_NOTHING = {"utils", "util", "helpers", "helper", "common", "manager", "processor", "misc"}
SOURCES = sorted(
    path.relative_to(REPOSITORY)
    for room in ("dags", "plugins", "include", "ml", "tests")
    for path in (REPOSITORY / room).rglob("*.py")
)


def lint_imports(folder: Path, path: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [LINT_IMPORTS, "--no-cache"],
        cwd=folder,
        env={"PYTHONPATH": path, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_import_contracts_hold() -> None:
    done = lint_imports(REPOSITORY, f"{REPOSITORY}:{REPOSITORY / 'plugins'}")

    assert done.returncode == 0, done.stdout
    assert "2 kept, 0 broken" in done.stdout


@pytest.mark.parametrize("offence", ["import include", "import nightshift", "import airflow"])
def test_an_import_the_wrong_way_is_seen(tmp_path: Path, offence: str) -> None:
    for package in ("nightshift", "include", "ml", "airflow"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
    (tmp_path / "ml" / "offender.py").write_text(f"{offence}\n")
    (tmp_path / "pyproject.toml").write_text((REPOSITORY / "pyproject.toml").read_text())

    done = lint_imports(tmp_path, str(tmp_path))

    assert done.returncode == 1
    assert "1 broken" in done.stdout


def test_no_module_is_longer_than_a_reader_takes() -> None:
    long = {str(path): len((REPOSITORY / path).read_text().splitlines()) for path in SOURCES}

    assert len(SOURCES) > 50
    assert {path: lines for path, lines in long.items() if lines >= LONGEST} == {}


def test_no_file_is_named_for_nothing() -> None:
    assert [str(path) for path in SOURCES if path.stem in SAY_NOTHING] == []

"""Files of runs of a real MLflow: fetched, or a clear word why not."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml.registry import RegistryUnavailable, connect, log_drift_report
from ml.registry.artefacts import ArtefactMissing, ArtefactTooLarge, fetch_artefact

HTML = "<p>Evidently</p>"


@pytest.fixture(scope="module")
def uri(mlflow_uri: str) -> str:
    return log_drift_report(
        connect(mlflow_uri),
        key="ctr:all:2026-03-08",
        title="ctr 2026-03-08",
        facts={},
        numbers={},
        evidently=None,
        html=HTML,
    ).html_uri


def test_a_file_comes_as_it_was_kept(mlflow_uri: str, uri: str, tmp_path: Path) -> None:
    found = fetch_artefact(connect(mlflow_uri), uri, tmp_path, at_most_bytes=100)
    assert found.read_text() == HTML
    assert found.is_relative_to(tmp_path)


def test_a_file_larger_than_asked_for_is_not_fetched(mlflow_uri: str, uri: str, tmp_path: Path) -> None:
    with pytest.raises(ArtefactTooLarge, match="16 bytes, at most 15"):
        fetch_artefact(connect(mlflow_uri), uri, tmp_path, at_most_bytes=15)
    assert list(tmp_path.iterdir()) == []


def test_a_file_or_run_that_is_gone_is_missing(mlflow_uri: str, uri: str, tmp_path: Path) -> None:
    client = connect(mlflow_uri)
    for gone in (uri.replace("drift_report", "another"), f"runs:/{'0' * 32}/drift_report.html"):
        with pytest.raises(ArtefactMissing, match="has no file"):
            fetch_artefact(client, gone, tmp_path, at_most_bytes=100)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "file:///etc/passwd",
        "runs:/abc",
        "runs:/abc/../../x",
        "runs:/a/b/../c",
        "runs:/a//b",
        "http://x/y",
    ],
)
def test_what_is_no_file_of_a_run_is_refused(address: str, mlflow_uri: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no file of an MLflow run"):
        fetch_artefact(connect(mlflow_uri), address, tmp_path, at_most_bytes=100)


def test_an_mlflow_that_is_away_is_unavailable() -> None:
    with pytest.raises(RegistryUnavailable):
        connect("http://127.0.0.1:1")

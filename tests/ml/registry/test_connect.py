"""The way to MLflow, and what is said when there is none."""

import socket
import time

import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, TEMPORARILY_UNAVAILABLE

from ml.errors import PermanentModelError, TransientModelError
from ml.registry import (
    ModelNameInvalid,
    RegistryRefused,
    RegistryUnavailable,
    connect,
    log_drift_report,
    model_name,
)
from ml.registry.connect import experiment_id
from ml.registry.errors import registry_errors


def test_nobody_listening_is_said_within_seconds_and_worth_another_try():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    began = time.monotonic()
    with pytest.raises(RegistryUnavailable, match="does not answer") as failed:
        connect(f"http://127.0.0.1:{port}")
    assert time.monotonic() - began < 5
    assert isinstance(failed.value, TransientModelError)


def test_an_empty_address_names_the_connection_to_set():
    with pytest.raises(ValueError, match="mlflow_default"):
        connect("")


@pytest.mark.parametrize(
    ("error", "becomes"),
    [
        (MlflowException("busy", TEMPORARILY_UNAVAILABLE), RegistryUnavailable),
        (MlflowException("API request failed with exception"), RegistryUnavailable),
        (ConnectionResetError("reset"), RegistryUnavailable),
        (MlflowException("bad name", INVALID_PARAMETER_VALUE), RegistryRefused),
    ],
)
def test_errors_are_sorted_by_whether_another_try_helps(error, becomes):
    with pytest.raises(becomes, match="do a thing"), registry_errors("do a thing"):
        raise error
    assert issubclass(RegistryRefused, PermanentModelError)


@pytest.mark.parametrize("scope", ["", "a b", "../x", "act:1", "-x", "a/b"])
def test_a_scope_that_cannot_name_a_model_is_refused(scope):
    with pytest.raises(ModelNameInvalid, match="scope"):
        model_name("ctr", scope)


def test_an_experiment_that_was_deleted_comes_back(client, name):
    made = experiment_id(client, name)
    client.delete_experiment(made)
    assert experiment_id(client, name) == made
    assert client.get_experiment(made).lifecycle_stage == "active"


def test_a_drift_report_of_the_same_day_overwrites_the_earlier(client, name):
    def keep(severity):
        return log_drift_report(
            client,
            key=f"{name}:all:2026-01-01",
            title=name,
            facts={"severity": severity},
            numbers={"severity": severity},
            evidently=None,
            html="<html></html>",
        )

    first, second = keep("none"), keep("high")
    assert first == second
    run = client.get_run(second.run_id)
    assert run.data.tags["severity"] == "high"
    assert second.html_uri == f"runs:/{second.run_id}/drift_report.html"
    assert {f.path for f in client.list_artifacts(second.run_id)} == {"drift.json", "drift_report.html"}

"""Registering against a real MLflow: once, whole, and repaired after a death at any step."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from mlflow.exceptions import MlflowException

from include.stack.settings import REPOSITORY
from ml.ctr.bundle_runtime import Bundle
from ml.registry import (
    CHALLENGER,
    CHAMPION,
    RegistryRefused,
    champion,
    fetch_bundle,
    find_registered,
    load_ctr_model,
    load_predictor,
    register,
    training_key,
)
from ml.registry.connect import experiment_id


class KilledHere(BaseException):
    """Ends the attempt as a kill would: nothing catches it."""


class DyingClient:
    """A client whose process dies right after (or before) one of its calls."""

    def __init__(self, client, method, before=False):
        self.client, self.method, self.before = client, method, before

    def __getattr__(self, name):
        found = getattr(self.client, name)
        if name != self.method:
            return found

        def dying(*args, **kwargs):
            if not self.before:
                found(*args, **kwargs)
            raise KilledHere

        return dying


def versions(client, name):
    return client.search_model_versions(f"name='{name}'")


def runs(client, name):
    return client.search_runs([experiment_id(client, name)])


def test_the_first_version_is_champion_and_later_ones_challenger(client, name, record_of):
    first = register(client, record_of(name))
    second = register(client, record_of(name, "other data"))
    third = register(client, record_of(name, "newer data"))
    assert (first.version, first.alias) == (1, CHAMPION)
    assert (second.version, second.alias) == (2, CHALLENGER)
    assert (third.version, third.alias) == (3, CHALLENGER)
    assert champion(client, name).version == 1
    assert find_registered(client, name, record_of(name, "other data").key).alias == ""


def test_the_same_training_again_changes_nothing(client, name, record_of):
    record = record_of(name)
    first, again = register(client, record), register(client, record)
    assert first == again
    assert len(versions(client, name)) == 1
    assert len(runs(client, name)) == 1


def test_everything_about_a_version_is_written_down(client, name, record_of, features):
    version = register(client, record_of(name))
    run = client.get_run(version.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.metrics["normalized_entropy"] == version.metrics["normalized_entropy"]
    assert run.data.params["xgboost_max_depth"] == "3"
    assert run.data.tags["mlflow.source.git.commit"] == "0123abc"
    assert run.data.tags["data_fingerprint"] == features.fingerprint()
    assert run.data.tags["window_start"] == "2026-01-01"
    assert version.tags["beats_constant"] in {"true", "false"}
    assert run.inputs.dataset_inputs[0].dataset.digest == features.fingerprint()[:36]
    files = {found.path for found in client.list_artifacts(version.run_id)}
    assert {"calibration.png", "features.json", "importances.json", "model_card.md"} <= files
    stored = client.get_model_version(name, "1")
    assert "How good it is" in stored.description


def test_a_registered_model_predicts_in_a_process_of_its_own(
    client, name, record_of, features, mlflow_uri, tmp_path
):
    register(client, record_of(name))
    expected = load_predictor(mlflow_uri, f"models:/{name}@champion").predict(features.X)
    assert ((expected > 0) & (expected < 1)).all()
    features.X.to_parquet(tmp_path / "rows.parquet")
    script = (
        "import sys, mlflow, numpy, pandas\n"
        "mlflow.set_tracking_uri(sys.argv[1])\n"
        "rows = pandas.read_parquet(sys.argv[3])\n"
        "numpy.save(sys.argv[4], mlflow.pyfunc.load_model(sys.argv[2]).predict(rows))\n"
    )
    # Away from the repository: the code comes with the model.
    subprocess.run(
        [sys.executable, "-c", script, mlflow_uri, f"models:/{name}@champion", "rows.parquet", "out.npy"],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin"},
        check=True,
        timeout=120,
    )
    assert not (tmp_path / "ml").exists()
    assert REPOSITORY not in tmp_path.parents
    assert np.load(tmp_path / "out.npy") == pytest.approx(expected)


@pytest.mark.parametrize(
    "method",
    [
        "create_run",
        "create_logged_model",
        "log_model_artifacts",
        "set_terminated",
        "create_registered_model",
        "create_model_version",
        "set_registered_model_alias",
        "set_model_version_tag",
    ],
)
def test_an_attempt_that_died_is_finished_by_the_next(client, name, record_of, method):
    record = record_of(name)
    with pytest.raises(KilledHere):
        register(DyingClient(client, method), record)
    version = register(client, record)
    assert (version.version, version.alias) == (1, CHAMPION)
    assert [found.tags["alias_state"] for found in versions(client, name)] == ["given"]
    assert [run.info.run_id for run in runs(client, name)] == [version.run_id]
    models = client.search_logged_models([experiment_id(client, name)])
    assert len(models) == 1


def test_the_first_version_stays_champion_if_it_died_before_its_alias_and_newer_data_came(
    client, name, record_of
):
    with pytest.raises(KilledHere):
        register(DyingClient(client, "set_registered_model_alias", before=True), record_of(name))
    assert champion(client, name) is None
    newer = register(client, record_of(name, "newer data"))
    assert (newer.version, newer.alias) == (2, CHALLENGER)
    assert champion(client, name).version == 1


def test_a_late_repair_does_not_take_the_alias_from_a_newer_challenger(client, name, record_of):
    register(client, record_of(name))
    with pytest.raises(KilledHere):
        register(DyingClient(client, "set_model_version_tag"), record_of(name, "second"))
    register(client, record_of(name, "third"))
    # The second died after its alias was set and before that was noted.
    client.set_model_version_tag(name, "2", "alias_state", "pending")
    assert find_registered(client, name, record_of(name, "third").key).alias == CHALLENGER
    assert client.get_model_version(name, "2").tags["alias_state"] == "superseded"


def test_a_version_that_was_made_twice_by_a_lost_answer_is_kept_once(client, name, record_of):
    record = record_of(name)
    first = register(client, record)
    stored = client.get_model_version(name, "1")
    client.create_model_version(
        name,
        stored.source,
        first.run_id,
        tags={"training_key": record.key},
        model_id=stored.source.split("/")[-1],
    )
    assert len(versions(client, name)) == 2
    assert register(client, record).version == 1
    assert len(versions(client, name)) == 1


def test_a_champion_that_a_person_chose_is_never_replaced(client, name, record_of):
    register(client, record_of(name))
    second = register(client, record_of(name, "second"))
    client.set_registered_model_alias(name, CHAMPION, str(second.version))
    register(client, record_of(name, "third"))
    assert champion(client, name).version == 2


def test_without_a_registered_model_there_is_no_champion(client, name):
    assert champion(client, name) is None
    assert find_registered(client, name, "0" * 64) is None


def test_settings_data_and_name_make_the_key():
    base = {"model": "ctr", "fingerprint": "a", "feature_set": "ads-1", "settings": {"seed": 7}}
    keys = {
        training_key(**{**base, **change})
        for change in (
            {},
            {"model": "x"},
            {"fingerprint": "b"},
            {"feature_set": "y"},
            {"settings": {"seed": 8}},
        )
    }
    assert len(keys) == 5


def test_what_mlflow_refuses_is_not_tried_again(client, record_of):
    with pytest.raises(RegistryRefused, match="refused to"):
        register(client, record_of("a/b:c"))
    with pytest.raises(MlflowException):
        client.get_registered_model("a/b:c")


def test_a_version_that_fails_its_gates_is_kept_without_an_alias(client, name, record_of):
    register(client, record_of(name))
    failing = replace(record_of(name, "worse"), failed_gates=("calibration error is too large",))
    second = register(client, failing)
    assert (second.version, second.alias) == (2, "")
    assert second.tags["alias_state"] == "withheld"
    assert register(client, failing) == second
    card = client.get_model_version(name, "2").description
    assert "does **not** pass its gates" in card
    assert "calibration error is too large" in card


def test_the_first_version_is_champion_whatever_its_gates_say(client, name, record_of):
    first = register(client, replace(record_of(name), failed_gates=("too few clicks",)))
    assert first.alias == CHAMPION


def test_model_and_bundle_come_back_as_they_were(client, mlflow_uri, name, record_of, features):
    record = record_of(name)
    version = register(client, record)
    model = load_ctr_model(mlflow_uri, version.uri)
    assert (model.predict(features.X) == record.model.predict(features.X)).all()
    bundle = Bundle(fetch_bundle(mlflow_uri, version.uri))
    assert np.abs(bundle.predict_frame(features.X) - model.predict(features.X)).max() <= 1e-6
    assert version.metrics["parity_max_abs"] <= 1e-6


def test_members_slices_and_environment_are_written_down(client, name, record_of):
    version = register(client, record_of(name))
    kept = {file.path for file in client.list_artifacts(version.run_id)}
    assert {"slices.json", "environment.json", "calibration.png", "model_card.md"} <= kept
    card = client.get_model_version(name, "1").description
    assert "XGBoost (boosted trees)" in card
    assert "a small neural network" in card
    assert version.tags["members"]
    assert version.tags["mode"] == "full"

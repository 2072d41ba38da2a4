"""A visual model goes into MLflow and comes out with the same digest, for the job to use."""

import uuid

from ml.registry.connect import connect
from ml.visual.model import find_model
from ml.visual.register import main, register_visual_model


def test_the_job_takes_its_model_from_the_registry(mlflow_uri, monkeypatch, make_job, other_clip, model):
    name = f"visual_{uuid.uuid4().hex[:8]}"
    client = connect(mlflow_uri)
    command = ["--model", str(model.folder), "--tracking-uri", mlflow_uri, "--name", name]
    assert main(command) == 0
    assert register_visual_model(client, model, name, "champion") == 1
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_uri)

    with find_model(f"models:/{name}@champion") as fetched:
        assert fetched.digest == model.digest
    by_path = make_job("path")
    by_path.run([other_clip], "--model", str(model.folder))
    by_address = make_job("address")
    by_address.run([other_clip], "--model", f"models:/{name}@champion")
    assert by_address.files() == by_path.files()


def test_a_folder_without_a_model_is_refused(mlflow_uri, tmp_path, capfd):
    assert main(["--model", str(tmp_path), "--tracking-uri", mlflow_uri]) == 1
    assert "visual_model.json" in capfd.readouterr().err

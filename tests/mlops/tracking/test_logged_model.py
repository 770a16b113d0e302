from importlib.metadata import version

import mlflow.pyfunc
import pytest

from glioseg.mlops.tracking.logged_model import PACKAGES, log_model, pinned_requirements
from glioseg.mlops.tracking.mlflow_runs import experiment_id


def test_an_interrupted_model_is_completed_and_not_logged_twice(registry, monkeypatch):
    client, model = registry.client, registry.model_files("one")
    run_id = client.create_run(experiment_id(client, "train")).info.run_id

    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(mlflow.pyfunc, "save_model", interrupt)
        with pytest.raises(KeyboardInterrupt):
            log_model(client, model, run_id=run_id)
    model_id = log_model(client, model, run_id=run_id)
    assert log_model(client, model, run_id=run_id) == model_id
    assert client.get_logged_model(model_id).status == "READY"
    files = client.list_logged_model_artifacts(model_id, "code/glioseg/models/builtin/model")
    names = {file.path.rpartition("/")[2] for file in files}
    assert "card.md" in names
    assert "model.keras" not in names  # the weights of the built-in model, which it does not predict with
    of_run = f"source_run_id = '{run_id}'"
    assert len(client.search_logged_models([experiment_id(client, "train")], of_run)) == 1


def test_the_requirements_are_installed_packages():
    """Otherwise MLflow warns of a mismatch wherever the model is loaded."""
    pinned = dict(line.split("==") for line in pinned_requirements())
    assert pinned == {name: version(name) for name in pinned}
    assert {name.removesuffix("-cpu") for name in pinned} == set(PACKAGES)

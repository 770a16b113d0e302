"""A model becomes a version once; another network, setting, code or library makes another version."""

import hashlib
import json

from glioseg.mlops.provenance.record import model_files, open_version
from glioseg.mlops.registry.candidate import identifying_tags
from glioseg.mlops.tracking.logged_model import log_model
from glioseg.mlops.tracking.mlflow_runs import experiment_id
from glioseg.mlops.tracking.model_files import CONTENT_HASH, FILES_HASH


def test_a_second_call_registers_nothing(registry):
    assert registry.register("one", a=0.7) == "version 1 is the champion: the first champion"
    assert registry.register("one", a=0.7) == "version 1 is this model already; the champion is version 1"
    (only,) = registry.client.search_model_versions(f"name = '{registry.name}'")
    assert int(only.version) == 1
    assert registry.aliases == {"champion": 1}


def test_tags_of_a_version_identify_it_and_its_origin(registry):
    registry.register("one", a=0.7)
    tags = registry.tags(1)
    wanted = identifying_tags(
        registry.model_files("one"), registry.evaluation("one", a=0.7), registry.rules()
    )
    assert wanted.items() <= tags.items()
    assert {
        "data_version",
        "git_commit",
        "git_dirty",
        "environment",
        "trained_run",
        "gate_decision",
    } <= tags.keys()


def test_the_logged_model_of_the_training_is_registered(registry):
    client = registry.client
    run_id = client.create_run(experiment_id(client, "train")).info.run_id
    metrics = {"calibration_error_after_wt": 0.01}
    model_id = log_model(
        client, registry.model_files("one"), run_id=run_id, params={"seed": 1}, metrics=metrics
    )
    registry.register("one", a=0.7, run_id=run_id)
    version = client.get_model_version(registry.name, "1")
    assert (version.source, version.run_id) == (f"models:/{model_id}", run_id)
    model = client.get_logged_model(model_id)
    assert model.params == {"seed": "1"}
    assert {metric.key: metric.value for metric in model.metrics} == metrics


def test_no_pickle_is_written(registry):
    registry.register("one", a=0.7)
    names = [path.name for path in registry.storage.folder.rglob("*")]
    assert "model.keras" in names
    assert not [name for name in names if name.endswith((".pkl", ".pickle", ".joblib"))]


def test_a_change_of_the_code_makes_a_new_version_that_serves_the_new_code(edited_package):
    assert edited_package.register("one", a=0.7) == "version 1 is the champion: the first champion"
    file = edited_package.package / "core" / "labels.py"
    file.write_text(fixed := file.read_text() + "# a fix\n")
    assert edited_package.register("one", a=0.7).startswith("version 2 is the champion")
    assert edited_package.register("one", a=0.7).startswith("version 2 is this model already")
    assert edited_package.artifact(2, "code/glioseg/core/labels.py").read_text() == fixed


def test_a_version_whose_hash_covers_one_file_of_code_is_registered_anew_and_still_recognised(
    edited_package,
):
    """Older versions have one hash of the network, the settings and one file of the code, sorted by name."""
    registry = edited_package
    entry = registry.package / "serving" / "model.py"
    entry.write_text("# the file that MLflow ran\n")
    registry.register("one", a=0.7)
    settings = json.dumps({"test": registry.folder.name}).encode()
    files = {"model.keras": b"one", "model.py": entry.read_bytes(), "settings.json": settings}
    parts = [(name, hashlib.sha256(content).hexdigest()) for name, content in files.items()]
    old = hashlib.sha256(repr(parts).encode()).hexdigest()
    registry.client.delete_model_version_tag(registry.name, "1", FILES_HASH)
    registry.client.set_model_version_tag(registry.name, "1", CONTENT_HASH, old)
    version = open_version(registry.client, f"models:/{registry.name}/1")
    assert (model_files(version) / "model.keras").read_text() == "one"
    assert registry.register("one", a=0.7).startswith("version 2 is the champion")

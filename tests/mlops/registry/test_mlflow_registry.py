import hashlib
import json
import shutil
import sqlite3
from dataclasses import replace
from importlib.metadata import version as installed
from pathlib import Path

import mlflow
import pytest

from glioseg.core import fingerprint
from glioseg.mlops.provenance.record import LineageError, model_files, open_version
from glioseg.mlops.tracking.candidate import CONTENT, FILES, marks
from glioseg.mlops.tracking.logged_model import log_model
from glioseg.mlops.tracking.mlflow_runs import experiment_id
from glioseg.mlops.tracking.model_uri import (
    RegistryError,
    champion_version,
    known_version,
    model_folder,
    pinned,
)


def numbers(shop):
    """The numbers of all versions."""
    found = shop.client.search_model_versions(f"name = '{shop.name}'")
    return sorted(int(version.version) for version in found)


def wanted(shop, content, **dice):
    """The tags by which a version is recognised."""
    return marks(shop.source(content), shop.evaluation(content, **dice), shop.rules())


def test_registering_again_registers_nothing(shop):
    assert shop.offer("one", a=0.7) == "version 1 is the champion: the first champion"
    assert shop.offer("one", a=0.7) == "version 1 is this model already; the champion is version 1"
    assert numbers(shop) == [1]
    assert shop.aliases == {"champion": 1}


def test_a_version_says_how_it_came_to_be(shop):
    shop.offer("one", a=0.7)
    tags = shop.tags(1)
    assert wanted(shop, "one", a=0.7).items() <= tags.items()
    assert {"data_version", "git_commit", "git_dirty", "environment", "trained_run", "verdict"} <= tags.keys()


def test_the_trained_model_itself_is_registered(shop):
    client = shop.client
    run_id = client.create_run(experiment_id(client, "train")).info.run_id
    metrics = {"calibration_error_after_wt": 0.01}
    model_id = log_model(client, shop.source("one"), run_id=run_id, params={"seed": 1}, metrics=metrics)
    shop.offer("one", a=0.7, run_id=run_id)
    version = client.get_model_version(shop.name, "1")
    assert (version.source, version.run_id) == (f"models:/{model_id}", run_id)
    model = client.get_logged_model(model_id)
    assert model.params == {"seed": "1"}
    assert {metric.key: metric.value for metric in model.metrics} == metrics


def test_a_model_that_was_not_filled_to_its_end_is_filled_and_not_doubled(shop, monkeypatch):
    client, model = shop.client, shop.source("one")
    run_id = client.create_run(experiment_id(client, "train")).info.run_id

    def die(**given):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(mlflow.pyfunc, "log_model", die)
        with pytest.raises(KeyboardInterrupt):
            log_model(client, model, run_id=run_id)
    model_id = log_model(client, model, run_id=run_id)
    assert log_model(client, model, run_id=run_id) == model_id
    assert client.get_logged_model(model_id).status == "READY"
    mine = f"source_run_id = '{run_id}'"
    assert len(client.search_logged_models([experiment_id(client, "train")], mine)) == 1


def test_the_quick_look_agrees_with_the_registry(shop):
    tags = wanted(shop, "one", a=0.7)
    assert known_version(shop.folder / "none.db", name=shop.name, tags=tags) is None  # no database
    assert shop.client
    assert known_version(shop.lab.database, name=shop.name, tags=tags) is None  # no version
    assert champion_version(shop.lab.database, name=shop.name) is None
    shop.offer("one", a=0.7)
    shop.offer("worse", a=0.6)
    assert known_version(shop.lab.database, name=shop.name, tags=tags) == 1
    assert known_version(shop.lab.database, name="other", tags=tags) is None
    assert known_version(shop.lab.database, name=shop.name, tags=tags | {"content_sha256": "x"}) is None
    assert champion_version(shop.lab.database, name=shop.name) == 1
    client = shop.client
    client.delete_model_version_tag(shop.name, "1", "verdict")
    assert known_version(shop.lab.database, name=shop.name, tags=tags) is None  # it was interrupted
    client.set_model_version_tag(shop.name, "1", "verdict", "x")
    client.delete_registered_model_alias(shop.name, "champion")
    client.delete_model_version(shop.name, "1")
    assert known_version(shop.lab.database, name=shop.name, tags=tags) is None


def test_the_quick_look_at_another_database_knows_nothing(tmp_path):
    sqlite3.connect(tmp_path / "other.db").execute("CREATE TABLE x (y)")
    assert known_version(tmp_path / "other.db", name="unet", tags={}) is None


def test_no_pickle_is_written(shop):
    shop.offer("one", a=0.7)
    names = [path.name for path in shop.lab.folder.rglob("*")]
    assert "model.keras" in names
    assert not [name for name in names if name.endswith((".pkl", ".pickle", ".joblib"))]


def test_a_model_folder_is_found_by_its_address(shop):
    shop.offer("one", a=0.7)
    assert (model_folder(f"models:/{shop.name}@champion") / "model.keras").read_text() == "one"
    assert (model_folder(f"models:/{shop.name}/1") / "settings.json").exists()
    assert model_folder("my/folder") == Path("my/folder")
    with pytest.raises(RegistryError, match=f"models:/{shop.name}@other: not in the registry"):
        model_folder(f"models:/{shop.name}@other")


def test_a_version_whose_files_are_gone_is_named(shop, monkeypatch):
    shop.offer("one", a=0.7)
    address = f"models:/{shop.name}/1"
    shutil.rmtree(model_folder(address).parent)
    with pytest.raises(RegistryError, match=f"^{address}: .*No such artifact"):
        model_folder(address)

    def fail(*_, **__):  # as MLflow does of a file that is gone: its error has no file name
        raise OSError("No such file or directory: 'model.keras'")

    monkeypatch.setattr("mlflow.artifacts.download_artifacts", fail)
    with pytest.raises(RegistryError, match=f"^{address}: its files are not there: No such file"):
        model_folder(address)


def test_an_alias_is_told_by_the_number_that_it_names_now(shop):
    shop.offer("one", a=0.7)
    assert pinned(f"models:/{shop.name}@champion") == f"models:/{shop.name}/1"
    for model in (f"models:/{shop.name}/1", "my@folder"):
        assert pinned(model) == model
    with pytest.raises(RegistryError, match=f"models:/{shop.name}@other: not in the registry"):
        pinned(f"models:/{shop.name}@other")


@pytest.mark.parametrize("changed", ["model.keras", "settings.json"])
def test_a_changed_file_is_another_model(shop, changed):
    model = shop.source("one")
    before = model.content
    (shop.folder / "models one" / changed).write_text("changed")
    assert model.content != before


@pytest.fixture
def workshop(shop, tmp_path):
    """A shop whose versions carry a copy of the package, to be edited."""
    copy = shutil.copytree(
        shop.package, tmp_path / "copy" / "glioseg", ignore=shutil.ignore_patterns("model", "__pycache__")
    )
    return replace(shop, package=copy)


@pytest.mark.parametrize(
    "name", ["data/quality/case_validation.py", "labels.py", "models/inference/postprocess.py"]
)
def test_a_fix_of_the_code_is_another_model(workshop, name):
    source = workshop.source("one")
    before = source.content, source.carried
    with (workshop.package / name).open("a") as file:
        file.write("# a fix\n")
    assert before[0] != source.content
    assert before[1] != source.carried


def test_a_fix_of_the_guard_is_a_new_version_that_serves_the_new_code(workshop):
    assert workshop.offer("one", a=0.7) == "version 1 is the champion: the first champion"
    guard = workshop.package / "data" / "guard.py"
    guard.write_text(fixed := guard.read_text() + "# a fix\n")
    assert workshop.offer("one", a=0.7).startswith("version 2 is the champion")
    assert workshop.offer("one", a=0.7).startswith("version 2 is this model already")
    assert workshop.artifact(2, "code/glioseg/data/guard.py").read_text() == fixed


def test_another_version_of_a_library_is_another_model_of_the_same_files(shop, monkeypatch):
    source = shop.source("one")
    before = source.content, source.carried
    with monkeypatch.context() as patch:
        patch.setattr(fingerprint, "version", lambda name: "0" if name == "optuna" else installed(name))
        assert (source.content, source.carried) == before  # no model needs it to answer
        patch.setattr(fingerprint, "version", lambda name: "0" if name == "numpy" else installed(name))
        assert source.content != before[0]
        assert source.carried == before[1]


def version_of(shop):
    return open_version(shop.client, f"models:/{shop.name}/1")


def test_a_version_s_files_are_known_again_with_other_libraries_and_code(workshop, monkeypatch):
    workshop.offer("one", a=0.7)
    (workshop.package / "labels.py").write_text("# edited since\n")
    monkeypatch.setattr(fingerprint, "version", lambda name: "0")
    assert (model_files(version_of(workshop)) / "model.keras").read_text() == "one"


def test_code_of_a_version_that_was_changed_is_found_out(workshop):
    workshop.offer("one", a=0.7)
    workshop.artifact(1, "code/glioseg/data/guard.py")
    carried = model_files(version_of(workshop)).parent / "code" / "glioseg" / "data" / "guard.py"
    carried.write_text("# something else\n")
    with pytest.raises(LineageError, match="its files are not those that were registered"):
        model_files(version_of(workshop))


def test_an_older_version_is_still_known_by_what_it_was_registered_with(shop):
    """It has a hash of its network, its settings and one file of code, by names and in order."""
    shop.offer("one", a=0.7)
    client, entry = shop.client, shop.package / "serving" / "model.py"
    settings = json.dumps({"shop": shop.folder.name}).encode()
    files = {"model.keras": b"one", "model.py": entry.read_bytes(), "settings.json": settings}
    parts = [(name, hashlib.sha256(content).hexdigest()) for name, content in files.items()]
    old = hashlib.sha256(repr(parts).encode()).hexdigest()
    client.delete_model_version_tag(shop.name, "1", FILES)
    client.set_model_version_tag(shop.name, "1", CONTENT, old)
    assert (model_files(version_of(shop)) / "model.keras").read_text() == "one"
    assert shop.offer("one", a=0.7).startswith("version 2 is the champion")  # all of its code counts now
    (model_files(version_of(shop)) / "settings.json").write_text("changed")
    with pytest.raises(LineageError, match="its files are not those that were registered"):
        model_files(version_of(shop))

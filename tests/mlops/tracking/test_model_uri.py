"""Model addresses: lookups in MLflow's database, and the folders of registered models."""

import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from glioseg.mlops.registry.candidate import identifying_tags
from glioseg.mlops.tracking.model_uri import (
    RegistryError,
    champion_version,
    default_model,
    find_version,
    model_folder,
    resolve_alias,
    why_builtin,
)
from glioseg.mlops.tuning.study import open_study
from tests.helpers.read_only import UNPRIVILEGED, read_only
from tests.helpers.registries import ModelRegistry
from tests.helpers.studies import TUNE


def test_lookups_in_the_database_agree_with_the_registry(registry):
    tags = identifying_tags(registry.model_files("one"), registry.evaluation("one", a=0.7), registry.rules())
    assert find_version(registry.folder / "none.db", name=registry.name, tags=tags) is None  # no database
    assert registry.client
    assert find_version(registry.storage.database, name=registry.name, tags=tags) is None  # no version
    assert champion_version(registry.storage.database, name=registry.name) is None
    registry.register("one", a=0.7)
    registry.register("worse", a=0.6)
    assert find_version(registry.storage.database, name=registry.name, tags=tags) == 1
    assert find_version(registry.storage.database, name="other", tags=tags) is None
    assert (
        find_version(registry.storage.database, name=registry.name, tags=tags | {"content_sha256": "x"})
        is None
    )
    assert champion_version(registry.storage.database, name=registry.name) == 1
    client = registry.client
    client.delete_model_version_tag(registry.name, "1", "gate_decision")
    assert (
        find_version(registry.storage.database, name=registry.name, tags=tags) is None
    )  # it was interrupted
    client.set_model_version_tag(registry.name, "1", "verdict", "x")
    client.delete_registered_model_alias(registry.name, "champion")
    client.delete_model_version(registry.name, "1")
    assert find_version(registry.storage.database, name=registry.name, tags=tags) is None


def test_a_lookup_in_a_database_without_mlflow_s_tables_returns_none(tmp_path):
    sqlite3.connect(tmp_path / "other.db").execute("CREATE TABLE x (y)")
    assert find_version(tmp_path / "other.db", name="unet", tags={}) is None


def test_a_model_folder_is_found_by_its_address(registry):
    registry.register("one", a=0.7)
    assert (model_folder(f"models:/{registry.name}@champion") / "model.keras").read_text() == "one"
    assert (model_folder(f"models:/{registry.name}/1") / "settings.json").exists()
    assert model_folder("my/folder") == Path("my/folder")
    with pytest.raises(RegistryError, match=f"models:/{registry.name}@other: not in the registry"):
        model_folder(f"models:/{registry.name}@other")


def test_a_version_whose_files_are_missing_is_an_error_that_names_it(registry, monkeypatch):
    registry.register("one", a=0.7)
    address = f"models:/{registry.name}/1"
    shutil.rmtree(model_folder(address).parent)
    with pytest.raises(RegistryError, match=f"^{address}: .*No such artifact"):
        model_folder(address)

    def fail(*_, **__):  # MLflow's error for a missing file has no file name
        raise OSError("No such file or directory: 'model.keras'")

    monkeypatch.setattr("mlflow.artifacts.download_artifacts", fail)
    with pytest.raises(RegistryError, match=f"^{address}: its files are missing: No such file"):
        model_folder(address)


def test_an_alias_is_resolved_to_the_version_that_it_names_now(registry):
    registry.register("one", a=0.7)
    assert resolve_alias(f"models:/{registry.name}@champion") == f"models:/{registry.name}/1"
    for model in (f"models:/{registry.name}/1", "my@folder"):
        assert resolve_alias(model) == model
    with pytest.raises(RegistryError, match=f"models:/{registry.name}@other: not in the registry"):
        resolve_alias(f"models:/{registry.name}@other")


def test_the_home_folder_stands_for_a_tilde(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")
    assert model_folder("~/models/mine") == Path("/home/ada/models/mine")


def test_why_the_builtin_model_is_used_names_a_registered_version_and_the_way_out(storage):
    none = "no model is registered in this project: the built-in model is used"
    assert why_builtin(storage) == none
    registry = ModelRegistry(storage, "glioseg", storage.root)
    registry.register("one", a=0.7)
    registry.client.delete_registered_model_alias("glioseg", "champion")
    assert default_model(storage) == "builtin"
    assert why_builtin(storage) == (
        "the built-in model is used: there is no champion;"
        " `glioseg rollback --to 1` makes version 1 the champion"
    )
    with pytest.raises(
        RegistryError, match=r"champion not found\.; `glioseg rollback --to VERSION` sets it$"
    ):
        resolve_alias("models:/glioseg@champion")
    with pytest.raises(RegistryError, match=r"`glioseg rollback --to VERSION` sets it$"):
        model_folder("models:/glioseg@champion")
    registry.register("worse", a=0.6)
    assert "--to 1` makes version 1 the champion" in why_builtin(storage)  # the last champion, not the newest
    registry.client.delete_model_version("glioseg", "1")
    assert "--to 2` makes version 2 the champion" in why_builtin(storage)
    registry.client.delete_model_version("glioseg", "2")
    assert why_builtin(storage) == none


READER = """
from pathlib import Path
from glioseg.mlops.leaderboard.evaluations import find_evaluations
from glioseg.mlops.leaderboard.studies import find_studies
from glioseg.mlops.provenance.record import open_version
from glioseg.mlops.tracking.mlflow_runs import connect, download
from glioseg.mlops.tracking.model_uri import default_model, model_folder, resolve_alias
from glioseg.mlops.tracking.storage import ProjectStorage
storage = ProjectStorage.current()
client = connect(storage)
address = resolve_alias(default_model(storage))
print(address, (model_folder(address) / "model.keras").read_text())
print(open_version(client, address).version.version, download(f"{address}/per_case.csv").name)
print(len(find_evaluations(client).shown), len(find_studies(client, storage)))
"""


def test_a_user_who_may_only_read_a_project_can_use_its_champion(storage):
    """What predict, serve, lineage and report read."""
    open_study(storage, "a study", TUNE)
    ModelRegistry(storage, "glioseg", storage.root).register("one", a=0.7)
    with read_only(storage.root):
        done = subprocess.run(
            [*UNPRIVILEGED, sys.executable, "-c", READER], capture_output=True, text=True, env=os.environ
        )
    assert (done.stdout, done.returncode) == ("models:/glioseg/1 one\n1 per_case.csv\n0 1\n", 0), done.stderr

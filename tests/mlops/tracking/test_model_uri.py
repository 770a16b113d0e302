"""Model addresses: lookups in MLflow's database, and the folders of registered models."""

import shutil
import sqlite3
from pathlib import Path

import pytest

from glioseg.mlops.registry.candidate import identifying_tags
from glioseg.mlops.tracking.model_uri import (
    RegistryError,
    champion_version,
    find_version,
    model_folder,
    resolve_alias,
)


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

import pytest
from sqlalchemy import create_engine, text

from glioseg.mlops.tracking.storage import ProjectStorage, StorageError


def test_the_storage_is_in_the_folder_where_a_stage_runs(tmp_path, monkeypatch):
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.chdir(tmp_path)
    assert ProjectStorage.current().tracking_uri == f"sqlite:///{tmp_path}/mlruns/mlflow.db"
    assert ProjectStorage.current().study_url == f"sqlite:///{tmp_path}/mlruns/optuna.db"


def test_a_dvc_experiment_uses_the_storage_of_the_main_project(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "main"))
    monkeypatch.chdir(tmp_path)
    assert ProjectStorage.current().root == tmp_path / "main"


def test_artifact_addresses_quote_spaces(tmp_path):
    assert (
        ProjectStorage(tmp_path / "a b").artifacts_uri("tune")
        == f"file://{tmp_path}/a%20b/mlruns/artifacts/tune"
    )


@pytest.mark.parametrize("name", ["a b", "a#b", "a%20b", "ü", "a&b=c", "o'Neill", "a:b@c", "a;b"])
def test_a_database_is_in_the_project_whatever_its_name(tmp_path, name):
    storage = ProjectStorage(tmp_path / name)
    storage.prepare()
    for url in (storage.tracking_uri, storage.study_url):
        with create_engine(url).connect() as connection:
            connection.execute(text("CREATE TABLE t (x INTEGER)"))
    assert sorted(storage.folder.iterdir()) == sorted(storage.database_files)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_folder_that_no_address_can_name_is_refused_in_one_line(tmp_path):
    """SQLAlchemy would use the database `a` beside the folder `a?b`."""
    storage = ProjectStorage(tmp_path / "a?b")
    with pytest.raises(
        StorageError, match=r"a\?b: expected .* got a path with `\?`; rename the folder"
    ) as error:
        storage.tracking_uri  # noqa: B018
    assert "\n" not in str(error.value)
    with pytest.raises(StorageError):
        storage.study_url  # noqa: B018

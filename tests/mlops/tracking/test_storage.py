from glioseg.mlops.tracking.storage import ProjectStorage


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

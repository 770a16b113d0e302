"""The files of runs and models in local folders, and in a bucket of an S3 server on this machine."""

import subprocess
import sys
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from typer.testing import CliRunner

from glioseg import cli
from glioseg.core.extras import MissingPackageError
from glioseg.mlops.maintenance.prune import find_unreferenced, version_fingerprints
from glioseg.mlops.tracking.artifact_store import ArtifactStore, BucketError
from glioseg.mlops.tracking.mlflow_locations import MovedError
from glioseg.mlops.tracking.mlflow_runs import connect
from glioseg.mlops.tracking.model_uri import model_folder
from glioseg.mlops.tracking.storage import ARTIFACTS_URL, ProjectStorage
from tests.helpers import stock, trainings
from tests.helpers.s3 import KEYS, keys_of, make_bucket, s3_server
from tests.helpers.servers import free_port

URL = "s3://lab/team"
GONE = {
    "evaluation of sibling", "loser", "evaluation of loser's model", "deleted", "killed",
    "study-other", "study-other trial 0", "study-other trial 1", "sibling", "loser's model",
}  # fmt: skip
"""Things that no registered version of the stock references, except a run that may be running."""

IN_ANY_FOLDER = ["w" * 1000, "e" * 100, f'{{"run_id": "{"0" * 32}"}}']
"""Contents of the `mlruns` folder in any case: the state of a training, and its TensorBoard log."""


@pytest.fixture(scope="module")
def bucket():
    """A bucket, and the environment with its server's address and keys."""
    with pytest.MonkeyPatch.context() as patch, s3_server() as address:
        for name, value in {**KEYS, "AWS_ENDPOINT_URL": address, ARTIFACTS_URL: URL}.items():
            patch.setenv(name, value)
        yield make_bucket(address, "lab")


@pytest.fixture(scope="module")
def stocked(bucket, tmp_path_factory):
    """A stock whose files are in the bucket; the tests of this module use it one after the other."""
    return stock.build(ProjectStorage(tmp_path_factory.mktemp("stocked"), artifacts_url=URL))


@pytest.fixture
def here(stocked, monkeypatch):
    """The stock as the storage of the current project."""
    monkeypatch.setenv("DVC_ROOT", str(stocked.storage.root))
    mlflow.set_tracking_uri(stocked.storage.tracking_uri)
    return stocked


def run(*words):
    return CliRunner().invoke(cli.app, words)


def inside(stocked, bucket):
    """The readable names of the runs and models with files in the bucket."""
    names = {identity: name for name, identity in stocked.ids.items()}
    parts = (part for key in keys_of(bucket) for part in key.split("/"))
    return {names[part] for part in parts if part in names}


def test_files_of_runs_and_models_go_to_the_bucket_only(here, bucket):
    assert all(key.startswith(("team/train/", "team/evaluate/", "team/tune/")) for key in keys_of(bucket))
    assert inside(here, bucket) == here.ids.keys() - {"stranger"}  # it has no file
    folders = {path.name for path in (here.storage.folder / "artifacts").rglob("*") if path.is_dir()}
    assert not folders & set(here.ids.values())


def test_downloaded_files_are_deleted_when_the_process_ends(here):
    code = "from glioseg.mlops.tracking.model_uri import model_folder as f; p = f('models:/unet/1')"
    code += "; print(p, p.is_dir())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    folder, there = done.stdout.rsplit(maxsplit=1)
    assert there == "True"
    assert not Path(folder).parents[1].exists()


def test_pruning_frees_the_bucket_and_keeps_registered_models_unchanged(here, bucket):
    strange = bucket.put_object(Key=f"team/train/{'e' * 32}/artifacts/x", Body=b"of another database")
    before, sizes = version_fingerprints(here.client), keys_of(bucket)
    assert {name.partition(":")[0] for name in before} == {"unet/1", "unet/2"}
    result = run("prune-runs", "--yes")
    assert result.exit_code == 0, result.output
    freed = sum(sizes.values()) - sum(keys_of(bucket).values()) + sum(map(len, IN_ANY_FOLDER))
    assert f"{freed / 1e6:.1f} MB of files" in result.output
    assert inside(here, bucket) == here.ids.keys() - GONE - {"stranger"}
    assert version_fingerprints(here.client) == before
    assert strange.key in keys_of(bucket)
    for version, name in (("1", "model"), ("2", "hidden")):
        loaded = mlflow.pyfunc.load_model(f"models:/unet/{version}")
        assert loaded.predict(pd.DataFrame({"t1": [b"scan"]})) == name
    assert run("prune-runs", "--yes").output == "mlruns: nothing to remove\n"


def test_a_version_is_found_by_its_address(here):
    assert (model_folder("models:/unet/1") / "model.keras").read_text() == "model"


def test_the_report_shows_pictures_from_the_bucket(here, tmp_path):
    for name, training, dice in (
        ("model", "training", trainings.A),
        ("hidden", "hidden training", trainings.B),
    ):
        trained = trainings.Trained(name, here.ids[training], here.ids[name])
        trainings.evaluate(trained, tmp_path / name, dice, depth=3)
    result = run("report", "-o", str(tmp_path / "page.html"))
    assert result.exit_code == 0, result.output
    assert (tmp_path / "page.html").read_text().count("data:image/webp") == 5  # of case 3 both are the same


def test_files_of_one_experiment_never_go_to_two_places(here, tmp_path):
    storage = here.storage
    advice = "set it to s3://lab/team, or start with a new database"
    for url, got in ((None, "nothing"), ("s3://lab/other", "s3://lab/other")):
        with pytest.raises(MovedError) as caught:
            connect(replace(storage, artifacts_url=url))
        expected = f"{ARTIFACTS_URL}: this database keeps the files of tune in s3://lab/team/tune, got {got}"
        assert str(caught.value) == f"{expected}; {advice}"
    connect(replace(storage, artifacts_url=f"{URL}/"))  # the same place


def test_a_database_with_folders_cannot_switch_to_a_bucket(shared_storage):
    connect(shared_storage)
    with pytest.raises(MovedError) as caught:
        connect(replace(shared_storage, artifacts_url=URL))
    assert str(caught.value) == (
        f"{ARTIFACTS_URL}: this database keeps the files of tune in {shared_storage.artifacts_uri('tune')},"
        f" got {URL}; unset it, or start with a new database"
    )


@pytest.mark.parametrize("url", ["/data/team", "gs://lab/team", "s3://", "lab/team"])
def test_another_kind_of_address_is_rejected(url, tmp_path):
    with pytest.raises(BucketError, match=r"^GLIOSEG_ARTIFACTS_URL: expected s3://bucket/folder, got "):
        ProjectStorage(tmp_path, artifacts_url=url).prepare()


@pytest.mark.parametrize("words", [("report",), ("prune-runs", "--yes"), ("lineage", "models:/unet/1")])
def test_a_missing_bucket_is_reported_in_one_line(here, monkeypatch, words):
    monkeypatch.setenv(ARTIFACTS_URL, "s3://missing/team")
    result = run(*words)
    assert result.exit_code == 1
    said = f"glioseg {words[0]}: GLIOSEG_ARTIFACTS_URL: no usable bucket at s3://missing/team: "
    assert result.output.startswith(said)
    assert result.output.count("\n") == 1


def test_a_server_that_does_not_respond_is_named(bucket, tmp_path, monkeypatch):
    address = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", address)
    with pytest.raises(BucketError, match=f"no usable bucket at {URL}: .*{address}") as caught:
        ProjectStorage(tmp_path, artifacts_url=URL).prepare()
    assert "\n" not in str(caught.value)


def test_a_missing_driver_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    message = r"^S3: needs packages that are not installed \(s3fs\): pip install 'glioseg\[s3\]'$"
    with pytest.raises(MissingPackageError, match=message):
        ProjectStorage(tmp_path, artifacts_url=URL).prepare()


def test_without_a_bucket_nothing_of_s3_is_imported(registry, monkeypatch):
    monkeypatch.delenv(ARTIFACTS_URL, raising=False)
    for name in ("boto3", "botocore", "s3fs"):
        monkeypatch.setitem(sys.modules, name, None)  # to import it is an error
    registry.register("one", case=0.5)
    assert (model_folder(f"models:/{registry.name}/1") / "model.keras").read_text() == "one"
    assert find_unreferenced(registry.storage, registry.client, exclusive=False) is not None


@pytest.fixture
def store(tmp_path):
    folder = tmp_path / "a run"
    (folder / "inner").mkdir(parents=True)
    (folder / "one.txt").write_bytes(b"123")
    (folder / "inner" / "two.txt").write_bytes(b"45")
    return ArtifactStore(str(folder))


def test_files_have_paths_sizes_and_hashes(store):
    assert {name: details["size"] for name, details in store.files().items()} == {
        "one.txt": 3,
        "inner/two.txt": 2,
    }
    assert store.size_bytes() == 5
    assert store.read("inner/two.txt") == b"45"
    assert store.content_hashes() == {
        "one.txt": sha256(b"123").hexdigest(),
        "inner/two.txt": sha256(b"45").hexdigest(),
    }


@pytest.mark.parametrize(
    ("other", "contained"),
    [("/a/b", True), ("/a/b/", True), ("/a/b/c", True), ("/a/bc", False), ("/a", False)],
)
def test_a_store_contains_itself_and_what_lies_below_it(other, contained):
    assert ArtifactStore("/a/b").contains(ArtifactStore(other)) is contained


def test_a_removed_store_is_empty_and_can_be_removed_again(store):
    store.remove()
    store.remove()
    assert store.files() == {}
    assert store.size_bytes() == 0

"""The record of a version's lineage among its artifacts."""

from hashlib import sha256
from pathlib import Path

import mlflow
import pytest

from glioseg.mlops.provenance.collectors import RECORDED_FILES
from glioseg.mlops.provenance.record import Record, lineage_folder, open_version
from glioseg.mlops.tracking.mlflow_runs import connect
from tests.helpers.stand_in import register_project


@pytest.fixture
def client(shared_storage):
    return connect(shared_storage)


def test_the_record_holds_the_project_s_files_with_their_hashes(client, project):
    version = open_version(client, register_project(client, "recorded"))
    record = Record.load(version.folder)
    assert record.files.keys() == RECORDED_FILES.keys() - {"initial_weights.json"}  # it has no such file
    for name, expected in record.files.items():
        content = (version.folder / name).read_bytes()
        assert content == (project / RECORDED_FILES[name]).read_bytes()
        assert sha256(content).hexdigest() == expected
    of_record = sha256((version.folder / "lineage.json").read_bytes()).hexdigest()
    assert version.version.tags["lineage_sha256"] == of_record
    assert version.version.description.startswith("A 3D U-Net")
    assert (version.folder / "model_card.html").is_file()


def test_two_names_of_one_model_have_two_records(client, project):
    one, other = register_project(client, "one-name"), register_project(client, "other-name")
    top = mlflow.artifacts.download_artifacts(one)
    assert top == mlflow.artifacts.download_artifacts(other)
    for name in ("one-name", "other-name"):
        assert (Path(top) / lineage_folder(name, "1") / "lineage.json").is_file()
    assert not open_version(client, one).changed
    assert not open_version(client, other).changed

"""The lineage record of a version, and the check of the version's own files."""

import pytest

from glioseg.core import fingerprint
from glioseg.mlops.provenance.record import LineageError, Record, model_files, open_version
from glioseg.mlops.tracking.mlflow_runs import connect


def version_of(registry):
    return open_version(registry.client, f"models:/{registry.name}/1")


def test_a_record_is_read_as_it_was_written(tmp_path):
    record = Record({"split": {"train": 4}}, {"code": "there was no git"}, {"params.yaml": "ab"})
    record.save(tmp_path)
    assert Record.load(tmp_path) == record


@pytest.mark.parametrize("address", ["models:/none/1", "models:/none@champion", "glioseg", "models:/a/b"])
def test_an_address_without_a_version_is_an_error(shared_storage, address):
    with pytest.raises(LineageError, match=f"^{address}: (not in the registry|expected models:/NAME)"):
        open_version(connect(shared_storage), address)


def test_a_version_s_files_are_accepted_with_other_libraries_and_other_code_in_the_package(
    edited_package, monkeypatch
):
    edited_package.register("one", a=0.7)
    (edited_package.package / "core" / "labels.py").write_text("# edited since\n")
    monkeypatch.setattr(fingerprint, "version", lambda name: "0")
    assert (model_files(version_of(edited_package)) / "model.keras").read_text() == "one"


@pytest.mark.parametrize("changed", ["code/glioseg/core/labels.py", "artifacts/settings.json"])
def test_a_changed_file_of_a_version_is_an_error(edited_package, changed):
    edited_package.register("one", a=0.7)
    file = model_files(version_of(edited_package)).parent / changed
    file.write_text("something else\n")
    with pytest.raises(LineageError, match="its files are not those that were registered"):
        model_files(version_of(edited_package))

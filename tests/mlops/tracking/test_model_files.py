"""The hashes of a model's files."""

from pathlib import Path

import pytest

import glioseg
from glioseg.core import fingerprint
from glioseg.mlops.tracking.model_files import ModelFiles

PACKAGE = Path(glioseg.__file__).parent


@pytest.fixture
def network(tmp_path):
    file = tmp_path / "model.keras"
    file.write_bytes(b"weights")
    return file


def test_both_hashes_follow_the_content_of_the_files(network):
    files = ModelFiles([network], PACKAGE)
    before = files.content_hash, files.files_hash
    network.write_bytes(b"other weights")
    assert files.content_hash != before[0]
    assert files.files_hash != before[1]
    network.write_bytes(b"weights")
    assert (files.content_hash, files.files_hash) == before


def test_only_the_content_hash_follows_versions_of_libraries(network, monkeypatch):
    files = ModelFiles([network], PACKAGE)
    before = files.content_hash, files.files_hash
    monkeypatch.setattr(fingerprint, "version", lambda library: "0.0")
    assert files.content_hash != before[0]
    assert files.files_hash == before[1]


def test_the_pyfunc_file_exists_in_the_package(network):
    assert ModelFiles([network], PACKAGE).pyfunc_file.is_file()

"""Artifact stores in local folders; tests/mlops/tracking/test_s3.py covers buckets."""

from hashlib import sha256

import pytest

from glioseg.mlops.maintenance.artifact_store import ArtifactStore


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

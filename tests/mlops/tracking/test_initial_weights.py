"""The record of the weights that training starts from: their hash, wherever the file is."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from glioseg.mlops.tracking.initial_weights import (
    RECORD_FILE,
    record_initial_weights,
    recorded_hash,
    recorded_weights,
)
from glioseg.mlops.tracking.model_uri import RegistryError
from glioseg.models import builtin
from glioseg.params.settings_file import ParamsError


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def test_without_weights_the_record_is_empty_and_no_model_is_loaded(storage):
    code = "import sys; from glioseg.mlops.tracking.initial_weights import *; record_initial_weights(None)"
    code += "; sys.exit('scipy' in sys.modules or 'mlflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert json.loads(RECORD_FILE.read_text()) == {"init_from": None, "sha256": None}
    assert recorded_weights(None) is None
    assert recorded_hash() is None


def test_an_alias_is_recorded_by_the_hash_of_its_current_weights(registry):
    address = f"models:/{registry.name}@champion"
    records = []
    for content, dice in (("one", 0.6), ("better", 0.7)):
        registry.register(content, a=dice)
        record_initial_weights(address)
        records.append(RECORD_FILE.read_bytes())
        assert recorded_hash() == sha256(content.encode())
        assert recorded_weights(address).read_text() == content
    assert records[0] != records[1]
    registry.register("better", a=0.7)  # nothing new: the alias stays
    record_initial_weights(address)
    assert RECORD_FILE.read_bytes() == records[1]
    record_initial_weights(f"models:/{registry.name}/1")
    assert recorded_hash() == sha256(b"one")


def test_the_builtin_model_is_recorded_by_its_published_hash(storage):
    published = {name: digest for digest, name in map(str.split, sums())}
    assert published["model.keras"] in record_initial_weights("builtin")
    assert recorded_hash() == published["model.keras"]


def sums():
    return (builtin.FOLDER / builtin.CHECKSUM_FILE).read_text().splitlines()


def test_the_record_of_a_missing_file_is_kept(storage):
    file = Path("start.keras")
    file.write_bytes(b"abc")
    record_initial_weights("start.keras")
    record = RECORD_FILE.read_bytes()
    file.unlink()
    assert "the record of its hash is kept" in record_initial_weights("start.keras")
    assert RECORD_FILE.read_bytes() == record
    with pytest.raises(RegistryError, match=r"found no start\.keras"):
        recorded_weights("start.keras")
    with pytest.raises(RegistryError, match=r"found no other\.keras"):
        record_initial_weights("other.keras")


def test_weights_that_differ_from_the_record_are_rejected(storage):
    file = Path("start.keras")
    file.write_bytes(b"abc")
    with pytest.raises(ParamsError, match="SHA-256 None, got"):
        recorded_weights("start.keras")
    record_initial_weights("start.keras")
    assert recorded_weights("start.keras") == file
    file.write_bytes(b"")
    hashes = f"SHA-256 {sha256(b'abc')}, got {sha256(b'')}"
    says = f"start.keras: expected the weights that {RECORD_FILE} names, {hashes}"
    with pytest.raises(ParamsError, match=says):
        recorded_weights("start.keras")

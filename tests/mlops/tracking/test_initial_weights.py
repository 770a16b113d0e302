"""The note about the weights that training starts from: by their content, wherever they lie."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from glioseg.core.settings_file import ParamsError
from glioseg.mlops.tracking.initial_weights import NOTE, note_weights, noted_digest, noted_weights
from glioseg.mlops.tracking.model_uri import RegistryError
from glioseg.models import builtin


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def test_without_weights_the_note_says_so_and_no_model_is_looked_for(lab):
    code = "import sys; from glioseg.mlops.tracking.initial_weights import *; note_weights(None)"
    code += "; sys.exit('scipy' in sys.modules or 'mlflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert json.loads(NOTE.read_text()) == {"init_from": None, "sha256": None}
    assert noted_weights(None) is None
    assert noted_digest() is None


def test_an_alias_is_noted_by_the_weights_that_it_names_now(shop):
    address = f"models:/{shop.name}@champion"
    notes = []
    for content, dice in (("one", 0.6), ("better", 0.7)):
        shop.offer(content, a=dice)
        note_weights(address)
        notes.append(NOTE.read_bytes())
        assert noted_digest() == sha256(content.encode())
        assert noted_weights(address).read_text() == content
    assert notes[0] != notes[1]
    shop.offer("better", a=0.7)  # nothing new: the alias stays
    note_weights(address)
    assert NOTE.read_bytes() == notes[1]
    note_weights(f"models:/{shop.name}/1")
    assert noted_digest() == sha256(b"one")


def test_the_builtin_model_is_noted_as_it_is_in_this_package(lab):
    published = {name: digest for digest, name in map(str.split, sums())}
    assert published["model.keras"] in note_weights("builtin")
    assert noted_digest() == published["model.keras"]


def sums():
    return (builtin.FOLDER / builtin.SUMS).read_text().splitlines()


def test_a_file_that_is_not_here_leaves_the_note_about_it_as_it_is(lab):
    file = Path("start.keras")
    file.write_bytes(b"abc")
    note_weights("start.keras")
    noted = NOTE.read_bytes()
    file.unlink()
    assert "the note about it stays as it is" in note_weights("start.keras")
    assert NOTE.read_bytes() == noted
    with pytest.raises(RegistryError, match=r"found no start\.keras"):
        noted_weights("start.keras")
    with pytest.raises(RegistryError, match=r"found no other\.keras"):
        note_weights("other.keras")


def test_weights_that_changed_since_they_were_noted_are_not_started_from(lab):
    file = Path("start.keras")
    file.write_bytes(b"abc")
    with pytest.raises(ParamsError, match="SHA-256 None, got"):
        noted_weights("start.keras")
    note_weights("start.keras")
    assert noted_weights("start.keras") == file
    file.write_bytes(b"")
    says = f"start.keras: expected the weights that {NOTE} names, SHA-256 {sha256(b'abc')}, got {sha256(b'')}"
    with pytest.raises(ParamsError, match=says):
        noted_weights("start.keras")

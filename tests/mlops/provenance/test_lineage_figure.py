"""The figure of a lineage."""

import xml.etree.ElementTree as ElementTree

import pytest

from glioseg.mlops.provenance.lineage import LineageEntry
from glioseg.mlops.provenance.lineage_figure import BUILTIN_POSITIONS, POSITIONS, draw_lineage, place


@pytest.mark.parametrize(("suffix", "start"), [(".svg", b"<?xml"), (".png", b"\x89PNG")])
def test_the_figure_is_the_same_each_time(tmp_path, suffix, start):
    entries = [LineageEntry(name, f"value of {name}", "a source") for name in POSITIONS]
    one, other = (tmp_path / f"{name}{suffix}" for name in ("one", "other"))
    for path in (one, other):
        draw_lineage(entries, path, title="A lineage")
    assert one.read_bytes() == other.read_bytes()
    assert one.read_bytes().startswith(start)


def test_a_missing_entry_has_a_dashed_box(tmp_path):
    def dashed(missing):
        entry = LineageEntry("training run", "" if missing else "a run", "MLflow", missing)
        draw_lineage([entry], tmp_path / "lineage.svg", title="A lineage")
        tree = ElementTree.parse(tmp_path / "lineage.svg")
        return sum("stroke-dasharray" in (element.get("style") or "") for element in tree.iter())

    assert dashed("it was deleted") == 1
    assert dashed("") == 0


def test_the_figure_of_the_builtin_model_has_a_box_for_each_entry_and_an_arrow_for_each_link(tmp_path):
    entries = [LineageEntry(name, f"value of {name}", "the package") for name in BUILTIN_POSITIONS]
    draw_lineage(entries, tmp_path / "lineage.svg", title="The built-in model")
    patches = ElementTree.parse(tmp_path / "lineage.svg").findall(".//{*}g")
    drawn = [group for group in patches if (group.get("id") or "").startswith("patch_")]
    # The background, ten boxes, and the arrows evaluation, files, calibration, confidence → version;
    # training, validation data → calibration; training → confidence; data, commit → training;
    # environment → commit.
    assert len(drawn) == 1 + 10 + 10


def test_entries_with_fewer_or_unknown_names_have_places_of_their_own():
    names = ["registered version", "training run", "a fact of a later version", "another", "third", "fourth"]
    places = place([LineageEntry(name, "", "") for name in names])
    assert list(places) == names
    assert len(set(places.values())) == len(names)
    assert places["training run"] == POSITIONS["training run"]

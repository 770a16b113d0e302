"""The figure of a lineage."""

import xml.etree.ElementTree as ElementTree

import pytest

from glioseg.mlops.provenance.lineage import LineageEntry
from glioseg.mlops.provenance.lineage_figure import POSITIONS, draw_lineage


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

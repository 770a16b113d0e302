"""The code of the page on the Python API runs, from top to bottom."""

import re

from glioseg.core.modalities import MODALITIES
from glioseg.core.nifti import Volume, write_volume
from tests.helpers.predicting import GRID, make_scan, use_formula, write_scans
from tests.helpers.projects import ROOT


def test_the_code_of_the_page_runs(monkeypatch, tmp_path):
    use_formula(monkeypatch)
    monkeypatch.chdir(tmp_path)
    write_scans(tmp_path, "case", MODALITIES)
    write_scans(tmp_path / "cohort", "one", MODALITIES)
    write_volume(tmp_path / "truth.nii.gz", Volume((make_scan() > 0).astype("uint8"), GRID))
    blocks = re.findall(
        r"^```python\n(.*?)^```", (ROOT / "docs/python.md").read_text(), re.DOTALL | re.MULTILINE
    )
    names = {}
    for block in blocks:
        exec(block, names)
    written = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert {"seg.nii.gz", "seg_2021.nii.gz", "seg.png", "out/one.nii.gz"} <= written
    assert names["scores"]["dice_wt"] == 1

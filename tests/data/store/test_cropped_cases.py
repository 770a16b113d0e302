from pathlib import Path

import numpy as np
import pytest

from glioseg.core.files import FileError
from glioseg.core.geometry import Box
from glioseg.core.nifti import Grid
from glioseg.data.store.cropped_cases import StoredCase, StoreError, open_cases, read_table
from glioseg.data.store.cropped_store import write_case
from glioseg.data.store.cropping import CropError, Placement

GRID = Grid((6, 5, 7), np.diag([-1.0, -1, 1, 1]))
BOX = Box((1, 0, 2), (5, 4, 6))


def write_manifest(store: Path, *rows: str) -> None:
    (store / "manifest.csv").write_text("\n".join(["case,grade,survival_days", *rows]) + "\n")


def test_cases_are_opened_in_the_order_of_the_names_with_grade_and_survival(tmp_path, arrays):
    for name in ("a", "007"):
        write_case(tmp_path / name, *arrays, Placement(GRID, BOX), spacings_mm=(1,))
    write_manifest(tmp_path, "a,HGG,300.5", "007,,")
    one, two = open_cases(tmp_path, ["007", "a"], raw=None)
    assert (one.name, one.grade, one.survival_days) == ("007", None, None)
    assert (two.name, two.grade, two.survival_days) == ("a", "HGG", 300.5)
    image, label = two.open(1)
    assert (image.shape, label.shape) == ((4, 4, 4, 4), (4, 4, 4))
    np.testing.assert_array_equal(label[:2], arrays[1][:2])


def test_opening_a_stored_case_reads_no_voxel(tmp_path, arrays):
    write_case(tmp_path / "a", *arrays, Placement(GRID, BOX), spacings_mm=(1,))
    arrays_on_disk = StoredCase(tmp_path / "a").open(1)
    assert not any(isinstance(array, np.ndarray) for array in arrays_on_disk)
    assert all(isinstance(array[:1], np.ndarray) for array in arrays_on_disk)


def test_the_error_names_a_missing_case(tmp_path):
    with pytest.raises(StoreError, match=r"manifest\.csv: not readable: No such file"):
        open_cases(tmp_path, ["a"], raw=None)
    write_manifest(tmp_path, "a,,")
    with pytest.raises(StoreError, match=r"manifest\.csv: expected a row of b, got none"):
        open_cases(tmp_path, ["b"], raw=None)
    with pytest.raises(StoreError, match="a: expected the folder of a cropped case, got none"):
        open_cases(tmp_path, ["a"], raw=None)
    (tmp_path / "manifest.csv").write_text("case\na\n")
    with pytest.raises(StoreError, match=r"missing \['grade', 'survival_days'\]"):
        open_cases(tmp_path, ["a"], raw=None)


def test_the_error_names_an_invalid_manifest_or_placement(tmp_path, arrays):
    write_case(tmp_path / "a", *arrays, Placement(GRID, BOX), spacings_mm=(1,))
    write_manifest(tmp_path, "a,HGG,long")
    with pytest.raises(StoreError, match=r"manifest\.csv: a: survival_days: .*'long'"):
        open_cases(tmp_path, ["a"], raw=None)
    for content, reason in ((b"\xff", "not a table: .*utf-8"), (b"case\n" + b"a" * 200_000, "field larger")):
        (tmp_path / "manifest.csv").write_bytes(content)
        with pytest.raises(StoreError, match=rf"manifest\.csv: .*{reason}"):
            open_cases(tmp_path, ["a"], raw=None)
    (tmp_path / "a/placement.json").write_text("{")
    with pytest.raises(FileError, match=r"placement\.json: not JSON: "):
        StoredCase(tmp_path / "a").placement  # noqa: B018
    (tmp_path / "a/placement.json").write_text("{}")
    with pytest.raises(CropError, match=r"placement\.json: not the placement of a crop: KeyError\('shape'\)"):
        StoredCase(tmp_path / "a").placement  # noqa: B018


@pytest.mark.parametrize("content", [None, b"", b"no array"])
def test_the_error_names_an_array_that_cannot_be_opened(tmp_path, arrays, content):
    write_case(tmp_path / "a", *arrays, Placement(GRID, BOX), spacings_mm=(1,))
    file = tmp_path / "a" / "label_1mm.b2nd"
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(StoreError, match=r"label_1mm\.b2nd: not readable: "):
        StoredCase(tmp_path / "a").open(1)


@pytest.mark.parametrize(
    ("content", "reason"),
    [("", "not readable: No columns"), ('case\n"', "not readable: "), ("case,voxels\na,many", "")],
)
def test_the_error_names_a_table_that_pandas_cannot_read(tmp_path, content, reason):
    (tmp_path / "manifest.csv").write_text(content)
    with pytest.raises(StoreError, match=rf"manifest\.csv: {reason}"):
        read_table(tmp_path / "manifest.csv", {"voxels": int})

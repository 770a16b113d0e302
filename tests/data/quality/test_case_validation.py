"""The guard judges as Great Expectations does, and says of one case what matters for it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from glioseg.core.labels import Scheme
from glioseg.core.modalities import MODALITIES
from glioseg.core.nifti import Grid, Volume, encode_volume
from glioseg.data.cohort.case_io import Scan, open_scans
from glioseg.data.cohort.cases import Case
from glioseg.data.quality import gx_validation
from glioseg.data.quality.case_validation import BREAKS, check_case, evaluate
from glioseg.data.quality.expectations import (
    Table,
    absent,
    between,
    equal,
    one_of,
    only_labels,
    present,
    unique,
)
from glioseg.params.contract import Contract, Term

SHAPE = (12, 10, 8)
GRID = Grid(SHAPE, np.diag([-1.0, -1, 1, 1]))
WORDS = {"expected": "good", "observed": "bad"}
RULES = [
    absent("absent", "text", **WORDS),
    replace(absent("absent, a note", "text", **WORDS), severity="info"),
    present("present", "text", **WORDS),
    present("present here", "text", **WORDS, where=("readable", True)),
    unique("unique", "number", **WORDS),
    one_of("one of", "text", ["a", "b"], **WORDS),
    between("low", "number", **WORDS, min_value=2),
    between("high", "number", **WORDS, max_value=3.5),
    between("within", "number", **WORDS, min_value=1, max_value=4),
    between("above", "number", **WORDS, min_value=1, strict_min=True),
    equal("equal", "text", "other", expected="{other}"),
    only_labels("labels", "labels", (0, 1, 2, 4), expected="labels"),
    only_labels("labels here", "labels", (0, 1), expected="labels", where=("text", "a")),
]


def test_both_judges_find_the_same(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)

    def some(*values: object) -> object:
        return values[rng.integers(len(values))]

    records = [
        {
            "case": f"case{number}",
            "role": "t1",
            "file": "file",
            "readable": some(True, False),
            "text": some("a", "b", "c", None),
            "other": some("a", "b", None),
            "number": some(None, 1, 2, 3.5, 4, 4.5, float("inf"), number + 10, number + 100),
            "labels": some("0", "0, 1", "0, 1, 2, 4", "0, 0.5", "0, 1, 7", "-1, 0", "", None),
        }
        for number in range(120)
    ]
    table = Table("drawn", records, RULES)
    own = list(evaluate(table))
    assert {rule.kind for rule in RULES} == set(BREAKS)
    assert {finding.expectation for finding in own} == {rule.name for rule in RULES}
    assert sorted(map(repr, gx_validation.evaluate([table], "raw", tmp_path))) == sorted(map(repr, own))


def image(seed: int = 0, dtype: type = np.int16) -> np.ndarray:
    rng = np.random.default_rng(seed)
    data = np.zeros(SHAPE, dtype)
    data[3:9, 2:8, 2:6] = rng.integers(50, 900, (6, 6, 4))
    return data


def check(**changes: Scan) -> dict[tuple[str, str], str]:
    """What is found in a healthy small case with some scans changed: severity by role and rule."""
    good = {m: Scan(f"{m}.nii", Volume(image(seed), GRID)) for seed, m in enumerate(MODALITIES)}
    scans = good | changes
    case = Case("one", {role: Path(scan.file) for role, scan in scans.items()}, Scheme.BRATS2021)
    return {(f.role, f.expectation): f.severity for f in check_case(case, scans, Contract())}


def scan(data: np.ndarray, affine: np.ndarray = GRID.affine) -> Scan:
    return Scan("t2.nii", Volume(data, Grid(data.shape, affine)))


def test_another_shape_alone_is_a_warning() -> None:
    assert check() == {(m, "shape"): "warning" for m in MODALITIES}


BROKEN = image(dtype=np.float32)
BROKEN[5, 5, 4] = np.nan
ENDLESS = image(dtype=np.float32)
ENDLESS[5, 5, 4] = np.inf


@pytest.mark.parametrize(
    ("bad", "rule"),
    [
        (Scan("t2.nii", problem="not a whole NIfTI file"), "readable"),
        (scan(BROKEN), "NaN"),
        (scan(ENDLESS), "infinite"),
        (scan(image().astype(np.complex64)), "dtype"),
        (scan(image(), np.diag([1.0, 1, 0, 1])), "placed"),
        (scan(image(), np.diag([-1.0, -1, 2, 1])), "affine"),
        (scan(image()[:, :, :7]), "same shape"),
        (scan(image() * 0), "contrast"),
        (scan(np.where(image() > 0, 5, 0)), "contrast"),
    ],
)
def test_what_cannot_be_segmented_is_critical(bad: Scan, rule: str) -> None:
    critical = [key for key, severity in check(t2=bad).items() if severity == "critical"]
    assert critical == [("t2", rule)]


@pytest.mark.parametrize("role", ["t1", "flair"])
def test_what_has_a_longer_bright_tail_than_t2_may_be_swapped_with_it(role: str) -> None:
    # Percentile 99.5 over the median: about 900 / 475 as drawn, and the square of it.
    fluid = scan(image(seed=7).astype(np.float32) ** 2)
    assert (role, "swapped") not in check(t2=fluid)
    assert check(**{role: fluid})[(role, "swapped")] == "warning"


def test_a_missing_modality_and_another_orientation_are_notes() -> None:
    scans = {"t1": Scan("t1.nii", Volume(image(), Grid(SHAPE, np.diag([1.0, 1, 1, 1]))))}
    found = check_case(Case("one", {"t1": Path("t1.nii")}, Scheme.BRATS2021), scans, Contract())
    notes = [(f.role, f.expectation) for f in found if f.severity == "info"]
    assert sorted(notes) == [
        ("flair", "modality"),
        ("t1", "orientation"),
        ("t1ce", "modality"),
        ("t2", "modality"),
    ]


def test_the_critical_comes_first_and_the_contract_decides() -> None:
    scans = {"t1": Scan("t1.nii", Volume(BROKEN, GRID))}
    case = Case("one", {"t1": Path("t1.nii")}, Scheme.BRATS2021)
    assert check_case(case, scans, Contract())[0].expectation == "NaN"
    off = Contract(nan=Term(severity="critical", predict="off"))
    assert "NaN" not in [finding.expectation for finding in check_case(case, scans, off)]


def test_a_file_is_opened_or_says_why_not(tmp_path: Path) -> None:
    (tmp_path / "t1.nii").write_bytes(encode_volume(Volume(image(), GRID), compress=False))
    (tmp_path / "t2.nii").write_bytes(b"no NIfTI")
    files = {m: tmp_path / f"{m}.nii" for m in ("t1", "t2", "flair")}
    scans = open_scans(Case("one", files, Scheme.BRATS2021), MODALITIES)
    assert (scans["t1"].problem, scans["t1"].file) == (None, "t1.nii")
    assert str(scans["t2"].problem).startswith("not a NIfTI file: ")
    assert scans["flair"].problem == "not readable: No such file or directory"

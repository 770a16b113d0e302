"""The rules for raw scans: a single case, and outliers of a cohort by arithmetic on given statistics."""

import re
from pathlib import Path

import numpy as np
import pytest

from glioseg.core.labels import LabelScheme
from glioseg.core.modalities import MODALITIES
from glioseg.core.nifti import Grid, Volume
from glioseg.data.cohort.cases import Case, Scan
from glioseg.data.quality.expectations import evaluate_table
from glioseg.data.quality.raw_expectations import check_case, find_outliers, near_duplicate_cases, raw_tables
from glioseg.data.quality.volume_statistics import VolumeStatistics
from glioseg.params.contract import Contract, OutlierRule, RuleSettings

SHAPE = (12, 10, 8)
GRID = Grid(SHAPE, np.diag([-1.0, -1, 1, 1]))
AFFINE_2MM = np.diag([-2.0, -2, 2, 1])


def image(seed: int = 0, dtype: type = np.int16) -> np.ndarray:
    rng = np.random.default_rng(seed)
    data = np.zeros(SHAPE, dtype)
    data[3:9, 2:8, 2:6] = rng.integers(50, 900, (6, 6, 4))
    return data


def check(**changes: Scan) -> dict[tuple[str, str], str]:
    """The findings for a small healthy case with some scans replaced: severity by role and rule."""
    good = {m: Scan(f"{m}.nii", Volume(image(seed), GRID)) for seed, m in enumerate(MODALITIES)}
    scans = good | changes
    case = Case("one", {role: Path(scan.file) for role, scan in scans.items()}, LabelScheme.BRATS2021)
    return {(f.role, f.expectation): f.severity for f in check_case(case, scans, Contract())}


def scan(data: np.ndarray, affine: np.ndarray = GRID.affine) -> Scan:
    return Scan("t2.nii", Volume(data, Grid(data.shape, affine)))


def test_another_shape_alone_is_a_warning() -> None:
    assert check() == {(m, "shape"): "warning" for m in MODALITIES}


WITH_NAN = image(dtype=np.float32)
WITH_NAN[5, 5, 4] = np.nan
WITH_INFINITY = image(dtype=np.float32)
WITH_INFINITY[5, 5, 4] = np.inf


@pytest.mark.parametrize(
    ("bad", "rule"),
    [
        (Scan("t2.nii", problem="not a complete NIfTI file"), "readable"),
        (scan(WITH_NAN), "NaN"),
        (scan(WITH_INFINITY), "infinite"),
        (scan(image().astype(np.complex64)), "dtype"),
        (scan(image(), np.diag([1.0, 1, 0, 1])), "placed"),
        (scan(image(), np.diag([-1.0, -1, 2, 1])), "affine"),
        (scan(image()[:, :, :7]), "same shape"),
        (scan(image() * 0), "contrast"),
        (scan(np.where(image() > 0, 5, 0)), "contrast"),
    ],
)
def test_a_scan_that_cannot_be_segmented_is_critical(bad: Scan, rule: str) -> None:
    critical = [key for key, severity in check(t2=bad).items() if severity == "critical"]
    assert critical == [("t2", rule)]


def swapped(phantom: dict[str, np.ndarray], **changes: str) -> list[tuple[str, str, str]]:
    """Role, severity and message of the rule `swapped`, if roles hold the images of other modalities."""
    images = {role: phantom[changes.get(role, role)] for role in MODALITIES}
    scans = {role: Scan(role, Volume(data, Grid(data.shape, AFFINE_2MM))) for role, data in images.items()}
    findings = check_case(Case("one", {}, LabelScheme.BRATS2021), scans, Contract())
    return [(f.role, f.severity, f.observed) for f in findings if f.expectation == "swapped"]


def test_two_swapped_modalities_are_a_warning_of_one_line(phantom: dict[str, np.ndarray]) -> None:
    assert swapped(phantom) == []
    ((role, severity, observed),) = swapped(phantom, t1="t1ce", t1ce="t1")
    assert (role, severity) == ("t1", "warning")
    assert re.fullmatch(r"images of which t1 and t1ce look swapped \(log-odds [0-9.]+\)", observed)
    ((role, _, observed),) = swapped(phantom, t1="flair", t2="t1", flair="t2")
    assert observed.startswith(
        "images of which t1 looks like flair, t2 looks like t1, flair looks like t2 (log-odds "
    )


def test_the_contract_sets_the_log_odds_of_swapped_modalities(phantom: dict[str, np.ndarray]) -> None:
    scans = {
        role: Scan(role, Volume(phantom[other], Grid(phantom[other].shape, AFFINE_2MM)))
        for role, other in (("t1", "t2"), ("t2", "t1"))
    }
    case, rule = Case("one", {}, LabelScheme.BRATS2021), Contract().swapped
    strict = Contract(swapped=rule.model_copy(update={"log_odds": 1e6}))
    assert "swapped" in [f.expectation for f in check_case(case, scans, Contract())]
    assert "swapped" not in [f.expectation for f in check_case(case, scans, strict)]


def test_a_missing_modality_and_another_orientation_are_infos() -> None:
    scans = {"t1": Scan("t1.nii", Volume(image(), Grid(SHAPE, np.diag([1.0, 1, 1, 1]))))}
    findings = check_case(Case("one", {"t1": Path("t1.nii")}, LabelScheme.BRATS2021), scans, Contract())
    infos = [(f.role, f.expectation) for f in findings if f.severity == "info"]
    assert sorted(infos) == [
        ("flair", "modality"),
        ("t1", "orientation"),
        ("t1ce", "modality"),
        ("t2", "modality"),
    ]


def test_critical_findings_come_first_and_rules_can_be_off() -> None:
    scans = {"t1": Scan("t1.nii", Volume(WITH_NAN, GRID))}
    case = Case("one", {"t1": Path("t1.nii")}, LabelScheme.BRATS2021)
    assert check_case(case, scans, Contract())[0].expectation == "NaN"
    off = Contract(nan=RuleSettings(severity="critical", predict="off"))
    assert "NaN" not in [finding.expectation for finding in check_case(case, scans, off)]


RULE = OutlierRule(severity="warning", predict="off", times=8, deviations=5)
EQUAL = [1.0] * 8


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (7.9, None),
        (8.1, "8.1 times more; up to 8 times is usual"),
        (1 / 7.9, None),
        (0.001, "1000 times less; up to 8 times is usual"),
    ],
)
def test_in_a_uniform_cohort_the_factor_of_the_contract_decides(value: float, text: str | None) -> None:
    assert find_outliers([*EQUAL, value], RULE) == ({} if text is None else {8: text})


def test_in_a_varied_cohort_the_deviations_of_the_contract_decide() -> None:
    # Logs 0, ±1, ±1, ±1, ±1 have median 0 and MAD 1: five deviations are a factor exp(5 · 1.4826) = 1656.
    varied = [1.0, *[float(np.e)] * 4, *[float(1 / np.e)] * 4]
    assert find_outliers([*varied, 1500.0, 1 / 1500], RULE) == {}
    (text,) = find_outliers([*varied, 2000.0, 1 / 1500], RULE).values()
    assert text == "2000 times more; up to 1660 times is usual"


def test_fewer_than_eight_values_have_no_outliers_and_missing_values_do_not_count() -> None:
    assert find_outliers([*EQUAL[:6], None, None, 1000.0], RULE) == {}
    assert list(find_outliers([*EQUAL[:7], None, 1000.0], RULE)) == [8]


def test_only_low_values_are_outliers_if_asked_for() -> None:
    assert list(find_outliers([*EQUAL, 100.0, 0.01], RULE, only_low=True)) == [9]


def volume(case: str, role: str = "t1", **fields: object) -> VolumeStatistics:
    return VolumeStatistics(case, role, f"{case}_{role}.nii.gz", "brats2021", **fields)


def test_each_modality_is_compared_with_itself() -> None:
    t1 = [volume(f"case{i}", range=100.0) for i in range(9)]
    t2 = [volume(f"case{i}", "t2", range=5000.0) for i in range(8)]
    volumes = [*t1, *t2, volume("odd", "t2", range=100.0)]
    cases = [Case(name, {}, LabelScheme.BRATS2021) for name in dict.fromkeys(v.case for v in volumes)]
    table, _ = raw_tables(cases, volumes, Contract())
    found = [str(f) for f in evaluate_table(table) if f.expectation == "range"]
    assert found == [
        "odd/t2 (odd_t2.nii.gz): range: expected a range near the median of the cohort's t2,"
        " got 50 times less; up to 8 times is usual"
    ]
    assert "detail_away" in table.rows[0]


def test_near_duplicate_cases_are_found_unless_the_rule_is_off() -> None:
    # int8 3, 4, 0 in base64: the same fingerprint for both cases.
    volumes = [volume(name, fingerprint="AwQA") for name in "ab"]
    cases = [Case(name, {}, LabelScheme.BRATS2021) for name in "ab"]
    assert near_duplicate_cases(cases, volumes, Contract()) == [("a", "b")]
    off = Contract().near_duplicate.model_copy(update={"severity": "off"})
    assert near_duplicate_cases(cases, volumes, Contract(near_duplicate=off)) == []

"""The contract of a raw cohort: the rules for its volumes and for the cohort as a whole.

A rule's name is that of its term in contract.yaml, which says how much it weighs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace

from glioseg.core.geometry import round_spacing
from glioseg.core.labels import Scheme
from glioseg.core.modalities import MODALITIES, ROLES, SEGMENTATION
from glioseg.core.nifti import NUMBERS, ORIENTATION
from glioseg.data.cohort.cases import Case
from glioseg.data.quality.cohort_outliers import ODD_COLUMNS, Oddity, find_outliers
from glioseg.data.quality.expectations import (
    Record,
    Rule,
    Table,
    absent,
    between,
    equal,
    listed,
    one_of,
    only_labels,
    present,
    unique,
)
from glioseg.data.quality.volume_statistics import VolumeRow
from glioseg.data.store.grids import expected_affine
from glioseg.params.contract import Affine, BrainFraction, Contract, Shape, Spacing, Swapped


def raw_tables(
    cases: Sequence[Case], rows: Sequence[VolumeRow], contract: Contract, *, single: bool = False
) -> list[Table]:
    """The volume table and the cohort table with their rules.

    Args:
        cases: the cohort.
        rows: its measured volumes, as from `survey.measure_cohort`.
        contract: what they must be, and how much each rule weighs.
        single: they are no cohort, but one case that is to be segmented.
    """
    odd = find_outliers(rows, {case.case: case.patient for case in cases}, contract)
    volumes = [_volume_record(row, oddity) for row, oddity in zip(rows, odd, strict=True)]
    grades = _other_grades(cases)
    return [
        Table("raw_volumes", volumes, _weighed(_volume_rules(contract, single), contract, single)),
        Table(
            "raw_cohort",
            [_case_record(case, grades.get(case.case)) for case in cases],
            _weighed(_cohort_rules(), contract, single),
        ),
    ]


def _weighed(rules: Iterator[Rule], contract: Contract, single: bool) -> list[Rule]:
    """The rules that count, each with its severity."""
    weights = [(rule, contract.severity(rule.name, single=single)) for rule in rules]
    return [replace(rule, severity=weight) for rule, weight in weights if weight != "off"]


def _volume_rules(contract: Contract, single: bool) -> Iterator[Rule]:
    yield from _file_rules()
    yield from _grid_rules(contract.shape, _spacing(contract.spacing, single), contract.affine)
    yield from _brightness_rules(contract.brain_fraction)
    yield _swapped(contract.swapped)
    yield from _odd_rules()
    yield from _label_rules()


def _file_rules() -> Iterator[Rule]:
    yield absent("readable", "problem", expected="a whole 3D NIfTI file", observed="{problem}")
    yield absent(
        "own bytes",
        "same_bytes_as",
        expected="bytes that no earlier image has",
        observed="those of {same_bytes_as}",
    )


def _grid_rules(shape: Shape, spacing: Rule, affine: Affine) -> Iterator[Rule]:
    voxels = str(shape.voxels)
    yield one_of("shape", "shape", [voxels], expected=voxels, observed="{shape}")
    yield equal("same shape", "shape", "case_shape", expected="{case_shape} as others of the case")
    yield present(
        "placed",
        "orientation",
        expected="an affine that can be inverted",
        observed="one that cannot",
        where=("readable", True),
    )
    yield spacing
    yield between(
        "affine",
        "affine_deviation",
        expected=expected_affine(affine.tolerance),
        observed="a difference of {affine_deviation}",
        max_value=affine.tolerance,
    )
    yield one_of(
        "orientation", "orientation", [ORIENTATION], expected=ORIENTATION, observed="{orientation}, is turned"
    )


def _spacing(spacing: Spacing, single: bool) -> Rule:
    """A case that is to be segmented is resampled, unless it is refused; one to train on never is."""
    mm = str(round_spacing(spacing.mm))
    resampled = single and spacing.predict != "critical"
    observed = "{spacing_mm} mm, is resampled" if resampled else "{spacing_mm} mm"
    return one_of("spacing", "spacing_mm", [mm], expected=f"{mm} mm", observed=observed)


def _brightness_rules(brain: BrainFraction) -> Iterator[Rule]:
    yield one_of("dtype", "dtype", NUMBERS, expected="real numbers", observed="{dtype}")
    yield between("NaN", "nan_vox", expected="0 voxels", observed="{nan_vox} voxels", max_value=0)
    yield between(
        "infinite", "infinite_vox", expected="0 voxels", observed="{infinite_vox} voxels", max_value=0
    )
    yield between(
        "brain fraction",
        "brain_fraction",
        expected=f"{brain.low:g} to {brain.high:g} of the voxels not 0",
        observed="{brain_fraction}",
        min_value=brain.low,
        max_value=brain.high,
    )
    yield between(
        "contrast",
        "brain_deviation",
        expected="brightness that varies in the brain",
        observed="one value",
        min_value=0,
        strict_min=True,
    )


def _swapped(term: Swapped) -> Rule:
    return between(
        "swapped",
        "tail_over_t2",
        expected=f"at most {term.times:g} times the bright tail of t2",
        observed="{tail_over_t2} times: are they swapped?",
        max_value=term.times,
    )


def _odd_rules() -> Iterator[Rule]:
    """What compares a volume with its cohort; `find_outliers` puts it into words."""
    for name, what in (("range", "a range"), ("peak", "a brightest voxel"), ("detail", "detail")):
        column = f"{name}_away"
        expected = f"{what} near the median of the cohort's {{role}}"
        yield absent(name, column, expected=expected, observed=f"{{{column}}}")
    yield absent(
        "near duplicate", "alike", expected="an image that no earlier case has", observed="that of {alike}"
    )


def _label_rules() -> Iterator[Rule]:
    """The values of each scheme, and none outside the brain.

    That one has no tolerance: no label lies outside the brain in the real BraTS cases that the project
    is tried on, and the crop to the brain would lose such a voxel.
    """
    for scheme in Scheme:
        expected = f"{listed(sorted(scheme.values))} ({scheme})"
        yield only_labels(
            "labels", "labels", scheme.values, expected=expected, where=("scheme", scheme.value)
        )
    yield between(
        "labels outside brain",
        "outside_vox",
        expected="no label where every image is 0",
        observed="{outside_vox} voxels",
        max_value=0,
    )


def _cohort_rules() -> Iterator[Rule]:
    yield unique("unique id", "case", expected="each case once", observed="{case} more than once")
    yield absent(
        "one grade", "other_grade", expected="one grade for all visits of a patient", observed="{other_grade}"
    )
    for modality in MODALITIES:
        yield _has_file("modality", modality)
    yield _has_file("segmentation", SEGMENTATION)


def _has_file(name: str, role: str) -> Rule:
    return present(
        name,
        role,
        expected=f"a file for {role}",
        observed="none",
        role=role,
        file=f"{{case}}_{role}.nii.gz",
    )


def _other_grades(cases: Sequence[Case]) -> dict[str, str]:
    """The cases whose patient has another grade at an earlier visit, and both grades."""
    first: dict[str, Case] = {}
    graded = [case for case in cases if case.grade]
    earlier = {case.case: first.setdefault(case.patient, case) for case in graded}
    return {
        case.case: f"{case.grade} here and {other.grade} in {other.case}"
        for case in graded
        if (other := earlier[case.case]).grade != case.grade
    }


def _volume_record(row: VolumeRow, oddity: Oddity) -> Record:
    texts = {name: getattr(row, name) for name in ("shape", "case_shape", "spacing_mm")}
    return {
        **asdict(row),
        **{name: None if value is None else str(value) for name, value in texts.items()},
        "readable": row.problem is None,
        "labels": listed(row.labels),
        **{column: oddity.get(column) for column in ODD_COLUMNS},
    }


def _case_record(case: Case, other_grade: str | None) -> Record:
    files = {role: case.files[role].name if role in case.files else None for role in ROLES}
    known = {"case": case.case, "role": "", "file": "cohort.csv", "patient": case.patient}
    return {**known, "other_grade": other_grade, **files}

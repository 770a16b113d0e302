"""The contract of a raw cohort: the rules for its volumes and for the cohort as a whole."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict

from glioseg.data.cases import Case
from glioseg.data.layouts import MODALITIES, ROLES, SEGMENTATION
from glioseg.data.rules import (
    Record,
    Rule,
    Table,
    absent,
    between,
    listed,
    one_of,
    only_labels,
    present,
    unique,
)
from glioseg.data.survey import VolumeRow, round_spacing
from glioseg.geometry import Shape3
from glioseg.labels import Scheme
from glioseg.params import Validate

AFFINE_TOLERANCE = 1e-3
"""How far entries of the affines of one case may differ: headers hold float32."""

NUMBERS = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64")


def raw_tables(cases: Sequence[Case], rows: Sequence[VolumeRow], expected: Validate) -> list[Table]:
    """The volume table and the cohort table with their rules.

    Args:
        cases: the cohort.
        rows: its measured volumes, as from `survey.measure_cohort`.
        expected: shape, spacing and brain fractions of a volume.
    """
    rules = [
        *_file_rules(),
        *_grid_rules(expected.shape, expected.spacing_mm),
        *_brightness_rules(expected.min_brain_fraction, expected.max_brain_fraction),
        *_label_rules(),
    ]
    return [
        Table("raw_volumes", [_volume_record(row) for row in rows], rules),
        Table("raw_cohort", [_case_record(case) for case in cases], list(_cohort_rules())),
    ]


def _file_rules() -> Iterator[Rule]:
    yield absent("readable", "problem", expected="a whole 3D NIfTI file", observed="{problem}")
    yield absent(
        "own bytes",
        "same_bytes_as",
        expected="bytes that no earlier image has",
        observed="those of {same_bytes_as}",
    )


def _grid_rules(shape: Shape3, spacing_mm: tuple[float, float, float]) -> Iterator[Rule]:
    spacing = str(round_spacing(spacing_mm))
    yield one_of("shape", "shape", [str(shape)], expected=str(shape), observed="{shape}")
    yield present(
        "orientation",
        "orientation",
        expected="an affine that can be inverted",
        observed="one that cannot",
        where=("readable", True),
    )
    yield one_of("spacing", "spacing_mm", [spacing], expected=f"{spacing} mm", observed="{spacing_mm} mm")
    yield between(
        "affine",
        "affine_deviation",
        expected=f"that of the case's first image to {AFFINE_TOLERANCE:g}",
        observed="a difference of {affine_deviation}",
        max_value=AFFINE_TOLERANCE,
    )


def _brightness_rules(low: float, high: float) -> Iterator[Rule]:
    yield one_of("dtype", "dtype", NUMBERS, expected="real numbers", observed="{dtype}")
    yield between("NaN", "nan_vox", expected="0 voxels", observed="{nan_vox} voxels", max_value=0)
    yield between(
        "infinite", "infinite_vox", expected="0 voxels", observed="{infinite_vox} voxels", max_value=0
    )
    yield between(
        "brain fraction",
        "brain_fraction",
        expected=f"{low:g} to {high:g} of the voxels not 0",
        observed="{brain_fraction}",
        min_value=low,
        max_value=high,
    )
    yield between(
        "contrast",
        "brain_deviation",
        expected="brightness that varies in the brain",
        observed="one value",
        min_value=0,
        strict_min=True,
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
    for modality in MODALITIES:
        yield _has_file("modality", modality, warning=False)
    yield _has_file("segmentation", SEGMENTATION, warning=True)


def _has_file(name: str, role: str, *, warning: bool) -> Rule:
    return present(
        name,
        role,
        expected=f"a file for {role}",
        observed="none",
        role=role,
        file=f"{{case}}_{role}.nii.gz",
        warning=warning,
    )


def _volume_record(row: VolumeRow) -> Record:
    return asdict(row) | {
        "readable": row.problem is None,
        "shape": None if row.shape is None else str(row.shape),
        "spacing_mm": None if row.spacing_mm is None else str(row.spacing_mm),
        "labels": listed(row.labels),
    }


def _case_record(case: Case) -> Record:
    files = {role: case.files[role].name if role in case.files else None for role in ROLES}
    return {"case": case.case, "role": "", "file": "cohort.csv", "patient": case.patient, **files}

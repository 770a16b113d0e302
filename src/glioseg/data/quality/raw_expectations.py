"""The contract of raw scans as expectations for a table of volumes and a table of cases.

The name of an expectation is that of its rule in contract.yaml, which sets the severity.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace

import numpy as np

from glioseg.core.geometry import round_spacing
from glioseg.core.labels import LabelScheme
from glioseg.core.modalities import MODALITIES
from glioseg.core.nifti import DTYPES, ORIENTATION
from glioseg.data.cohort.cases import Case, Scan
from glioseg.data.quality import expectations as expect
from glioseg.data.quality.brain_checks import (
    brain_expectations,
    brain_row,
    position_expectations,
    position_row,
)
from glioseg.data.quality.case_expectations import case_expectations, case_rows
from glioseg.data.quality.copies import find_copies
from glioseg.data.quality.expectations import Expectation, Finding, Row, Table, listed
from glioseg.data.quality.near_duplicates import Image, describe_pairs, find_pairs
from glioseg.data.quality.scan_geometry import VOXEL_MM, geometry_expectations
from glioseg.data.quality.volume_statistics import VolumeStatistics, measure_scans
from glioseg.data.store.grids import expected_affine
from glioseg.params.contract import Contract, OutlierRule, SpacingRule

MIN_VOLUMES = 8
"""Minimum number of volumes of a modality for outlier detection; the median of fewer is too uncertain."""

DEVIATIONS_PER_MAD = 1.4826
"""Standard deviations per median absolute deviation, for a normal distribution."""

TUPLES = ("shape", "case_shape", "spacing_mm")
"""Fields of the statistics that the table holds as text, for comparisons."""

COMPARED = {"range": "a range", "peak": "a brightest voxel", "detail": "detail"}
"""The rules that compare a volume with its cohort, and the names of the compared quantities."""


def check_case(case: Case, scans: Mapping[str, Scan], contract: Contract) -> list[Finding]:
    """The findings for one case that is to be segmented: critical ones first, then warnings, then infos.

    Args:
        case: the case.
        scans: scans of the case by role, as from `open_scans`.
        contract: rules, of which the severities for `predict` apply.
    """
    volumes = find_copies(measure_scans(case, scans))
    tables = raw_tables([case], volumes, contract, single=True)
    findings = [finding for table in tables for finding in expect.evaluate_table(table)]
    return sorted(findings, key=lambda finding: ("critical", "warning", "info").index(finding.severity))


def raw_tables(
    cases: Sequence[Case], volumes: Sequence[VolumeStatistics], contract: Contract, *, single: bool = False
) -> list[Table]:
    """The table of volumes and the table of cases, with their expectations.

    Args:
        cases: cases of a cohort.
        volumes: the statistics of all volumes of the cases, as from `measure_cohort`.
        contract: the settings and severities of the rules.
        single: whether `cases` is one case that is to be segmented, instead of a cohort.
    """
    return [
        Table(
            "raw_volumes",
            _volume_rows(cases, volumes, contract),
            _with_severity(_volume_expectations(contract, single, cases), contract, single),
        ),
        Table(
            "raw_cohort",
            case_rows(cases, volumes),
            _with_severity(case_expectations(), contract, single),
        ),
    ]


def near_duplicate_cases(
    cases: Sequence[Case], volumes: Sequence[VolumeStatistics], contract: Contract
) -> list[tuple[str, str]]:
    """Pairs of cases with nearly the same image or the same bytes, the earlier case first.

    There are none if the rule `near_duplicate` is off. Args as for `raw_tables`.
    """
    rule = contract.near_duplicate
    if rule.severity == "off":
        return []
    pairs = find_pairs(_images(cases, volumes), correlation=rule.correlation, same_patient=rule.same_patient)
    return sorted({(volumes[pair.earlier].case, volumes[pair.later].case) for pair in pairs})


def _with_severity(
    expectations: Iterator[Expectation], contract: Contract, single: bool
) -> list[Expectation]:
    """The expectations of all rules that are not off, with the severities of the contract."""
    severities = [(each, contract.severity(each.name, single=single)) for each in expectations]
    return [replace(each, severity=severity) for each, severity in severities if severity != "off"]


def _volume_expectations(contract: Contract, single: bool, cases: Sequence[Case]) -> Iterator[Expectation]:
    yield expect.absent("readable", "problem", expected="a whole 3D NIfTI file", observed="{problem}")
    yield expect.absent(
        "own bytes",
        "same_bytes_as",
        expected="an image that is no copy of another",
        observed="a copy of {same_bytes_as}",
    )
    yield from _grid_expectations(contract, single)
    yield from geometry_expectations(contract)
    yield from _intensity_expectations(contract)
    yield from brain_expectations()
    yield from _comparisons_with_cohort()
    yield from _label_expectations(dict.fromkeys([*LabelScheme, *(case.scheme for case in cases)]))
    yield from position_expectations(contract)


def _grid_expectations(contract: Contract, single: bool) -> Iterator[Expectation]:
    shape, affine = str(contract.shape.voxels), contract.affine
    yield expect.one_of("shape", "shape", [shape], expected=shape, observed="{shape}")
    yield expect.equal("same shape", "shape", "case_shape", expected="{case_shape} as others of the case")
    low, high = VOXEL_MM
    yield expect.absent(
        "placed",
        "misplaced",
        expected=f"an affine that can be inverted, and voxels of {low:g} to {high:g} mm",
        observed="{misplaced}",
    )
    yield _spacing(contract.spacing, single)
    yield expect.between(
        "affine",
        "affine_deviation",
        expected=expected_affine(affine.tolerance),
        observed="a difference of {affine_deviation}",
        max_value=affine.tolerance,
    )
    yield expect.one_of(
        "orientation", "orientation", [ORIENTATION], expected=ORIENTATION, observed="{orientation}, is turned"
    )


def _spacing(rule: SpacingRule, single: bool) -> Expectation:
    """The expected spacing; only a case that is to be segmented, and is not refused, is resampled."""
    mm = str(round_spacing(rule.mm))
    resampled = single and rule.predict != "critical"
    observed = "{spacing_mm} mm, is resampled" if resampled else "{spacing_mm} mm"
    return expect.one_of("spacing", "spacing_mm", [mm], expected=f"{mm} mm", observed=observed)


def _intensity_expectations(contract: Contract) -> Iterator[Expectation]:
    yield expect.one_of("dtype", "dtype", DTYPES, expected="real numbers", observed="{dtype}")
    for name, column in (("NaN", "nan_vox"), ("infinite", "infinite_vox")):
        yield expect.between(name, column, expected="0 voxels", observed=f"{{{column}}} voxels", max_value=0)
    brain = contract.brain_fraction
    yield expect.between(
        "brain fraction",
        "brain_fraction",
        expected=f"{brain.low:g} to {brain.high:g} of the voxels not 0",
        observed="{brain_fraction}",
        min_value=brain.low,
        max_value=brain.high,
    )
    yield expect.between(
        "contrast",
        "brain_deviation",
        expected="brightness that varies in the brain",
        observed="one value",
        min_value=0,
        strict_min=True,
    )
    yield expect.absent(
        "swapped",
        "swapped",
        expected="images that look like the modalities of their names",
        observed="images of which {swapped}",
    )


def _comparisons_with_cohort() -> Iterator[Expectation]:
    for name, compared in COMPARED.items():
        expected = f"{compared} near the median of the cohort's {{role}}"
        yield expect.absent(name, f"{name}_away", expected=expected, observed=f"{{{name}_away}}")
    yield expect.absent(
        "near duplicate", "alike", expected="an image that no earlier case has", observed="that of {alike}"
    )


def _label_expectations(schemes: Iterable[LabelScheme]) -> Iterator[Expectation]:
    for scheme in schemes:
        expected = f"{listed(sorted(scheme.values))} ({scheme})"
        yield expect.only_labels(
            "labels", "labels", scheme.values, expected=expected, where=("scheme", scheme.value)
        )


def _volume_rows(cases: Sequence[Case], volumes: Sequence[VolumeStatistics], contract: Contract) -> list[Row]:
    images, near = _images(cases, volumes), contract.near_duplicate
    pairs = find_pairs(images, correlation=near.correlation, same_patient=near.same_patient)
    near_duplicates = describe_pairs(images, pairs)
    outliers = {name: _outliers_by_modality(volumes, name, getattr(contract, name)) for name in COMPARED}
    return [
        {
            **asdict(volume),
            **{name: (value := getattr(volume, name)) and str(value) for name in TUPLES},
            "readable": volume.problem is None,
            "labels": listed(volume.labels),
            **brain_row(volume.zero_background, volume.brain_overlap, volume.extracerebral_share, contract),
            "swapped": _likelier_order(volume, contract),
            "label_intensities": None,  # compared over the cohort, see `_contradictions`
            **position_row(volume.tumour_vox, volume.outside_vox, volume.outside_mm, contract),
            **{f"{name}_away": outliers[name].get(number) for name in COMPARED},
            "alike": near_duplicates.get(number),
        }
        for number, volume in enumerate(volumes)
    ]


def _likelier_order(volume: VolumeStatistics, contract: Contract) -> str | None:
    """The order of the images that is likelier than the given one by more than the contract allows."""
    log_odds = volume.order_log_odds
    if log_odds is None or log_odds <= contract.swapped.log_odds:
        return None
    return f"{volume.order} (log-odds {log_odds:.1f})"


def _images(cases: Sequence[Case], volumes: Sequence[VolumeStatistics]) -> list[Image]:
    patients = {case.case: case.patient for case in cases}
    return [
        Image(each.case, patients[each.case], each.role, each.fingerprint, each.same_bytes_as is not None)
        for each in volumes
    ]


def _outliers_by_modality(
    volumes: Sequence[VolumeStatistics], name: str, rule: OutlierRule
) -> dict[int, str]:
    """The outliers of each modality in one field of the statistics, by their positions in the cohort."""
    found: dict[int, str] = {}
    for modality in MODALITIES:
        numbers = [number for number, volume in enumerate(volumes) if volume.role == modality]
        values = [getattr(volumes[number], name) for number in numbers]
        outliers = find_outliers(values, rule, only_low=name == "detail")
        found |= {numbers[index]: text for index, text in outliers.items()}
    return found


def find_outliers(
    values: Sequence[float | None], rule: OutlierRule, *, only_low: bool = False
) -> dict[int, str]:
    """The positions of values that are far from the median on a log scale, with the distance as text.

    Args:
        values: above 0; None is ignored.
        rule: the factor, and the number of robust standard deviations, that an outlier exceeds.
        only_low: whether large values are accepted.

    >>> find_outliers([100.0, 110.0, 90.0, 105.0, 95.0, 100.0, 100.0, 2.0], Contract().range)
    {7: '50 times less; up to 8 times is usual'}
    """
    known = {index: value for index, value in enumerate(values) if value}
    if len(known) < MIN_VOLUMES:
        return {}
    logs = np.log(list(known.values()))
    logs -= np.median(logs)
    deviation = DEVIATIONS_PER_MAD * float(np.median(np.abs(logs)))
    limit = max(float(np.log(rule.times)), rule.deviations * deviation)
    return {
        index: f"{_factor(abs(log))} {'more' if log > 0 else 'less'}; up to {_factor(limit)} is usual"
        for index, log in zip(known, logs.tolist(), strict=True)
        if abs(log) > limit and not (only_low and log > 0)
    }


def _factor(log: float) -> str:
    return f"{float(f'{np.exp(log):.3g}'):g} times"

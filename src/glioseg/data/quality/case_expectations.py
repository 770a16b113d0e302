"""The rules for the cases of a cohort: names, files, grades, and the label scheme against the images."""

from collections.abc import Iterator, Sequence

from glioseg.core.labels import LabelScheme
from glioseg.core.modalities import ROLES, SEGMENTATION
from glioseg.data.cohort.cases import Case
from glioseg.data.cohort.file_names import challenge_of
from glioseg.data.quality import expectations as expect
from glioseg.data.quality.expectations import Expectation, Row
from glioseg.data.quality.label_intensities import LabelIntensity, describe_contradiction
from glioseg.data.quality.volume_statistics import VolumeStatistics


def case_expectations() -> Iterator[Expectation]:
    """The expectations for a table of `case_rows`."""
    yield expect.unique("unique id", "case", expected="each case once", observed="{case} more than once")
    yield expect.absent(
        "one grade", "other_grade", expected="one grade for all visits of a patient", observed="{other_grade}"
    )
    yield expect.absent(
        "label scheme",
        "contradiction",
        expected="labels that fit the images (ET brightens in T1ce, ED is bright on FLAIR)",
        observed="{contradiction}",
    )
    yield expect.absent(
        "population",
        "population",
        expected="an adult's glioma, for which the built-in model is made",
        observed="{population}",
    )
    for role in ROLES:
        name = "segmentation" if role == SEGMENTATION else "modality"
        file = f"{{case}}_{role}.nii.gz"
        yield expect.present(name, role, expected=f"a file for {role}", observed="none", role=role, file=file)


def case_rows(cases: Sequence[Case], volumes: Sequence[VolumeStatistics]) -> list[Row]:
    """One row for each case of a cohort.

    Args:
        cases: cases of the cohort.
        volumes: the statistics of all volumes of the cases.
    """
    grades, contradictions = _other_grades(cases), _contradictions(cases, volumes)
    return [_case_row(case, grades.get(case.case), contradictions.get(case.scheme)) for case in cases]


def _other_grades(cases: Sequence[Case]) -> dict[str, str]:
    """The cases with another grade than an earlier visit of their patient, and both grades."""
    first: dict[str, Case] = {}
    graded = [case for case in cases if case.grade]
    earlier = {case.case: first.setdefault(case.patient, case) for case in graded}
    return {
        case.case: f"{case.grade} here and {other.grade} in {other.case}"
        for case in graded
        if (other := earlier[case.case]).grade != case.grade
    }


def _contradictions(cases: Sequence[Case], volumes: Sequence[VolumeStatistics]) -> dict[LabelScheme, str]:
    """The schemes that the intensities of their cases contradict, and how."""
    scheme_of = {case.case: case.scheme for case in cases}
    measured: dict[LabelScheme, list[Sequence[LabelIntensity]]] = {}
    for volume in volumes:
        if volume.label_intensities:
            measured.setdefault(scheme_of[volume.case], []).append(volume.label_intensities)
    found = {scheme: describe_contradiction(scheme, each) for scheme, each in measured.items()}
    return {scheme: f"those of {scheme}: {text}" for scheme, text in found.items() if text}


def _case_row(case: Case, other_grade: str | None, contradiction: str | None) -> Row:
    challenge = challenge_of(case.case)
    files = {role: case.files[role].name if role in case.files else None for role in ROLES}
    common = {"case": case.case, "role": "", "file": "cohort.csv", "patient": case.patient}
    return {
        **common,
        "other_grade": other_grade,
        "contradiction": contradiction if case.labelled else None,
        "population": challenge and f"{challenge.cases} ({challenge.name})",
        **files,
    }

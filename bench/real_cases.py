"""The labelled real cases that developers have in folders of their own."""

from collections.abc import Sequence
from pathlib import Path

from glioseg.data.cohort.cases import Case
from glioseg.data.cohort.ingest import detect_case_scheme, resolve_schemes
from glioseg.data.cohort.layouts import find_cases


def labelled_cases(folders: Sequence[Path]) -> list[Case]:
    """The cases with a segmentation, each with the label scheme of its own folder's collection."""
    cases = []
    for folder in folders:
        found = [case for case in find_cases(folder) if case.labelled]
        cases += resolve_schemes(found, [detect_case_scheme(case) for case in found])
    return cases

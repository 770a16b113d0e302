"""The rules for the cases of a cohort: the population that a name tells, and the label scheme."""

from pathlib import Path

import pytest

from glioseg.core.labels import LabelScheme
from glioseg.data.cohort.cases import Case
from glioseg.data.quality.case_expectations import case_rows
from glioseg.data.quality.volume_statistics import VolumeStatistics


@pytest.mark.parametrize(
    ("name", "population"),
    [
        ("BraTS-PED-00030-000", "gliomas of children (BraTS-PED)"),
        ("BraTS-MEN-00004-000", "meningiomas (BraTS-MEN)"),
        ("BraTS-GLI-00005-000", None),
    ],
)
def test_a_name_tells_a_population_for_which_the_model_is_not_made(name: str, population: str | None) -> None:
    (row,) = case_rows([Case(name, {}, LabelScheme.BRATS2023)], [])
    assert row["population"] == population


def test_only_labelled_cases_of_the_wrong_scheme_are_refused() -> None:
    scheme = LabelScheme.BRATS2024
    cases = [
        Case("Ada", {"seg": Path("seg")}, scheme),
        Case("Bo", {}, scheme),
        Case("Cy", {"seg": Path("seg")}, LabelScheme.BRATS2021),
    ]
    measured = ((1, 900, 4.0, 2.0, 0.0), (3, 900, 0.0, 1.0, 0.5))  # 1 enhances: NCR, says the scheme
    volumes = [VolumeStatistics("Ada", "seg", "seg", scheme.value, label_intensities=measured)]
    contradictions = [row["contradiction"] for row in case_rows(cases, volumes)]
    assert str(contradictions[0]).startswith("those of brats2024: 1 (NCR) brightens more than ET does")
    assert contradictions[1:] == [None, None]

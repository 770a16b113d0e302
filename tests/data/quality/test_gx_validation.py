"""Cases with one defect each: each is refused with the right finding, and all other cases are accepted."""

import re
import socket
from pathlib import Path

import pytest
from PIL import Image

from glioseg.core.labels import LabelScheme
from glioseg.core.modalities import ROLES
from glioseg.data.cohort.cases import Case, read_cohort, write_cohort
from glioseg.data.cohort.layouts import find_cases
from glioseg.data.quality import gx_validation
from glioseg.data.quality.cohort_statistics import measure_cohort
from glioseg.data.quality.expectations import evaluate_table
from glioseg.data.quality.raw_expectations import raw_tables
from glioseg.data.quality.validation_report import ContractError, ValidationReport, finding_lines
from glioseg.data.quality.volume_statistics import VolumeStatistics
from glioseg.params.contract import Contract, ShapeRule
from tests.helpers.defects import SAMPLES, SHAPE, write_cohort_of

EXPECTED = Contract(shape=ShapeRule(severity="critical", predict="warning", voxels=SHAPE))
GOOD = [name for name, sample in SAMPLES.items() if not sample.found and name != "unlabelled"]
BAD = [name for name, sample in SAMPLES.items() if sample.found]


def validate(cases: list[Case], docs: Path) -> ValidationReport:
    volumes = measure_cohort(cases, records=docs.parent / "records")
    return gx_validation.check_raw(cases, volumes, EXPECTED, on_failure="quarantine", docs=docs)


@pytest.fixture(scope="session")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> list[Case]:
    return write_cohort_of(SAMPLES, tmp_path_factory.mktemp("cohort"))


@pytest.fixture(scope="session")
def docs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("docs") / "raw"


@pytest.fixture(scope="session")
def report(cohort: list[Case], docs: Path) -> ValidationReport:
    def refuse(*_: object) -> None:
        raise AssertionError("the validation used the network")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", refuse)
        return validate(cohort, docs)


@pytest.mark.parametrize("name", BAD)
def test_a_defect_is_refused_and_has_no_other_finding(name: str, report: ValidationReport) -> None:
    found = {
        (v.role, v.expectation, v.expected, "" if v.expectation == "readable" else v.observed)
        for v in report.violations
        if v.case == name
    }
    assert found == SAMPLES[name].found
    assert report.cases[name] == "refused"


def test_an_unreadable_file_has_a_reason(report: ValidationReport) -> None:
    (reason,) = (v.observed for v in report.violations if v.case == "truncated")
    assert reason.startswith("not a complete NIfTI file: ")


def test_good_cases_are_accepted_beside_bad_ones(report: ValidationReport) -> None:
    assert report.outcome == "quarantined"
    assert report.cases_with("accepted") == GOOD
    report.raise_if_failed(Path("pages"))


def test_a_swap_is_a_warning_and_a_wrong_label_scheme_refuses_its_cases(tmp_path: Path) -> None:
    cases = [Case(name, {"seg": Path(f"{name}.nii")}, LabelScheme.BRATS2024) for name in ("Ada", "Bo")]
    measured = ((1, 900, 4.0, 2.0, 0.0), (3, 900, 0.0, 1.0, 0.5))  # 1 enhances: NCR, says the scheme
    volumes = [
        volume
        for case in cases
        for volume in (
            VolumeStatistics(
                case.case, "t1", "t1", "brats2024", order="t1 and t2 look swapped", order_log_odds=7.25
            ),
            VolumeStatistics(
                case.case, "seg", "seg", "brats2024", labels=(0, 1, 3), label_intensities=measured
            ),
        )
    ]
    report = gx_validation.check_raw(
        cases, volumes, Contract(), on_failure="quarantine", docs=tmp_path / "docs"
    )
    swapped = [each.observed for each in report.warnings if each.expectation == "swapped"]
    assert swapped == ["images of which t1 and t2 look swapped (log-odds 7.2)"] * 2
    assert [each.case for each in report.violations if each.expectation == "label scheme"] == ["Ada", "Bo"]
    (line,) = [line for line in finding_lines(report.violations) if "label scheme" in line]
    assert line.startswith("Ada, Bo (cohort.csv): label scheme: expected labels that fit the images")


def test_a_label_outside_the_brain_is_a_warning(report: ValidationReport) -> None:
    # One of 81 labels; the corner of the grid is sqrt(97) mm from the brain. Misplaced labels are refused.
    assert {(w.case, w.observed) for w in report.warnings if w.expectation == "labels outside brain"} == {
        ("outside", "1 voxels (1.23 %), up to 9.85 mm from the brain")
    }


def test_a_case_without_segmentation_is_for_prediction_only(report: ValidationReport) -> None:
    assert report.cases_with("prediction_only") == ["unlabelled"]
    assert [(note.case, note.expectation) for note in report.notes] == [("unlabelled", "segmentation")]


def test_the_findings_are_the_same_without_great_expectations(
    cohort: list[Case], report: ValidationReport, tmp_path: Path
) -> None:
    volumes = measure_cohort(cohort, records=tmp_path / "records")
    own = [finding for table in raw_tables(cohort, volumes, EXPECTED) for finding in evaluate_table(table)]
    assert set(own) == {*report.violations, *report.warnings, *report.notes}


def test_the_report_is_the_same_bytes_each_time(
    cohort: list[Case], report: ValidationReport, tmp_path: Path
) -> None:
    report.save(tmp_path / "one.json")
    validate(cohort, tmp_path / "docs").save(tmp_path / "two.json")
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()


def test_the_report_lists_every_volume(report: ValidationReport) -> None:
    # Two files were taken away: the t1ce of "missing" and the seg of "unlabelled".
    assert len(report.volumes) == len(SAMPLES) * len(ROLES) - 2


def test_pages_open_without_a_network(docs: Path, report: ValidationReport) -> None:
    pages = list(docs.rglob("*.html"))
    assert len(pages) == 5  # the index, and for volumes and cohort the suite and its results
    for page in pages:
        links = re.findall(r'(?:href|src)="([^"#]+)"', page.read_text())
        assert not [link for link in links if not (page.parent / link).is_file()], page
        assert "url(" not in page.read_text()
    index = (docs / "index.html").read_text()
    assert all(name in index for name in SAMPLES)
    assert "(24, 20, 15)" in index
    row = next(row for row in index.split("<tr>") if "truncated_flair" in row)
    assert row.endswith("<td>cannot be drawn</td></tr>")
    for role, shape in (("t2", (24, 20, 15)), ("seg", (24, 20, 16))):
        case = "shape" if role == "t2" else "label-7"
        (picture,) = re.findall(rf'src="([^"]+)" alt="Slices of {case} {role}"', index)
        assert Image.open(docs / picture).size == picture_size(shape)


def picture_size(shape: tuple[int, int, int]) -> tuple[int, int]:
    """Width and height of three slices, each 96 pixels high."""
    d, h, w = shape
    return round(96 * d / h) + round(96 * d / w) + round(96 * h / w), 96


def test_a_name_that_occurs_twice_is_refused(cohort: list[Case], tmp_path: Path) -> None:
    good = [case for case in cohort if case.case in GOOD[:2]]
    report = validate([*good, good[0]], tmp_path / "docs")
    assert [str(violation) for violation in report.violations] == [
        "a-good (cohort.csv): unique id: expected each case once, got a-good more than once"
    ]


def test_an_empty_cohort_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="at least one case"):
        gx_validation.check_raw([], [], EXPECTED, on_failure="stop", docs=tmp_path / "docs")


def test_real_scans_satisfy_the_contract(real_scans: Path, tmp_path: Path) -> None:
    found = find_cases(real_scans)
    for case in found:
        (tmp_path / "raw" / case.case).mkdir(parents=True)
        for role, file in case.files.items():
            (tmp_path / "raw" / case.case / f"{case.case}_{role}.nii.gz").symlink_to(file)
    write_cohort(tmp_path / "raw" / "cohort.csv", found)
    cases = read_cohort(tmp_path / "raw" / "cohort.csv")
    volumes = measure_cohort(cases, records=tmp_path / "records")
    report = gx_validation.check_raw(cases, volumes, Contract(), on_failure="stop", docs=tmp_path / "docs")
    assert [str(finding) for finding in report.violations + report.warnings] == []
    assert report.cases == {case.case: "accepted" if case.labelled else "prediction_only" for case in cases}

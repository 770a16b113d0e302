"""Stages validate_raw and validate_cropped: validate the data against contract.yaml."""

import sys
from importlib import import_module
from pathlib import Path
from threading import Thread

from _stage import RECORDS, configured_cluster, run
from glioseg.core.errors import GliosegError
from glioseg.data.cohort.cases import COHORT, read_cohort
from glioseg.data.cohort.unread import UNREAD, read_unread
from glioseg.data.quality.cohort_statistics import measure_cohort
from glioseg.data.quality.crop_validation import measure_store
from glioseg.data.quality.validation_report import PREDICTION_ONLY, REFUSED, ValidationReport, finding_lines
from glioseg.params import load_params
from glioseg.params.contract import CONTRACT, load_contract

RAW, CROPPED = Path("data/raw"), Path("data/cropped")
DOCS, VALIDATION = Path("reports/data_docs"), Path("reports/validation")


def preload_great_expectations() -> None:
    """Import Great Expectations in a thread while workers measure the cases: it takes four seconds."""
    Thread(target=import_module, args=["glioseg.data.quality.gx_validation"]).start()


def validate_raw() -> ValidationReport:
    preload_great_expectations()
    contract, on_failure = load_contract(Path(CONTRACT)), load_params().validate_.on_failure
    cases = read_cohort(RAW / COHORT)
    rows = measure_cohort(cases, records=RECORDS, cluster=configured_cluster())
    from glioseg.data.quality.gx_validation import check_raw

    return check_raw(
        cases,
        rows,
        contract,
        on_failure=on_failure,
        docs=DOCS / "raw",
        unread_files=read_unread(RAW / UNREAD),
    )


def validate_cropped() -> ValidationReport:
    preload_great_expectations()
    crop = load_params().crop
    raw = RAW if crop.on_the_fly else None
    rows = measure_store(
        CROPPED, spacings_mm=crop.spacings_mm, raw=raw, records=RECORDS, cluster=configured_cluster()
    )
    from glioseg.data.quality.gx_validation import check_cropped

    return check_cropped(rows, docs=DOCS / "cropped")


STAGES = {"raw": validate_raw, "cropped": validate_cropped}


def main() -> None:
    match sys.argv[1:]:
        case [stage] if stage in STAGES:
            report = STAGES[stage]()
        case given:
            raise GliosegError(f"expected one argument of {list(STAGES)}, got {given}")
    report.save(VALIDATION / f"{report.stage}.json")
    for line in finding_lines(report.violations):
        print(line, file=sys.stderr)
    for line in finding_lines(report.warnings):
        print(f"warning: {line}", file=sys.stderr)
    for status in (PREDICTION_ONLY, REFUSED):
        if names := report.cases_with(status):
            print(f"validate {report.stage}: {status.replace('_', ' ')}: {', '.join(names)}")
    if report.unread_files:
        print(
            f"validate raw: {len(report.unread_files)} files of your folder belong to no case: {RAW / UNREAD}"
        )
    print(f"validate {report.stage}: {report.outcome}, {len(report.cases)} cases")
    report.raise_if_failed(DOCS / report.stage / "index.html")


if __name__ == "__main__":
    run(main)

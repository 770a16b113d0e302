"""Stages validate raw and validate cropped: hold the data to its contract."""

import sys
from importlib import import_module
from pathlib import Path
from threading import Thread

from _stage import RECORDS, chosen_cluster, run
from glioseg.core.errors import GliosegError
from glioseg.data.cohort.cases import COHORT, read_cohort
from glioseg.data.quality.cohort_statistics import measure_cohort
from glioseg.data.quality.store_statistics import measure_store
from glioseg.data.quality.validation_report import PREDICTION_ONLY, REFUSED, Verdict
from glioseg.params import load_params
from glioseg.params.contract import CONTRACT, load_contract

RAW, CROPPED = Path("data/raw"), Path("data/cropped")
DOCS, VERDICTS = Path("reports/data_docs"), Path("reports/validation")


def load_contracts() -> None:
    """Load Great Expectations, which takes four seconds, while worker processes measure the cases."""
    Thread(target=import_module, args=["glioseg.data.quality.gx_validation"]).start()


def validate_raw() -> Verdict:
    load_contracts()
    contract, on_failure = load_contract(Path(CONTRACT)), load_params().validate_.on_failure
    cases = read_cohort(RAW / COHORT)
    rows = measure_cohort(cases, records=RECORDS, cluster=chosen_cluster())
    from glioseg.data.quality.gx_validation import check_raw

    return check_raw(cases, rows, contract, on_failure=on_failure, docs=DOCS / "raw")


def validate_cropped() -> Verdict:
    load_contracts()
    crop = load_params().crop
    raw = RAW if crop.on_the_fly else None
    rows = measure_store(
        CROPPED, spacings_mm=crop.spacings_mm, raw=raw, records=RECORDS, cluster=chosen_cluster()
    )
    from glioseg.data.quality.gx_validation import check_cropped

    return check_cropped(rows, docs=DOCS / "cropped")


STAGES = {"raw": validate_raw, "cropped": validate_cropped}


def main() -> None:
    match sys.argv[1:]:
        case [stage] if stage in STAGES:
            verdict = STAGES[stage]()
        case given:
            raise GliosegError(f"expected one argument of {list(STAGES)}, got {given}")
    verdict.save(VERDICTS / f"{verdict.stage}.json")
    for violation in verdict.violations:
        print(violation, file=sys.stderr)
    for warning in verdict.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    for status in (PREDICTION_ONLY, REFUSED):
        if names := verdict.named(status):
            print(f"validate {verdict.stage}: {status.replace('_', ' ')}: {', '.join(names)}")
    print(f"validate {verdict.stage}: {verdict.outcome}, {len(verdict.cases)} cases")
    verdict.require(DOCS / verdict.stage / "index.html")


if __name__ == "__main__":
    run(main)

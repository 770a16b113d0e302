"""Stages validate raw and validate cropped: hold the data to its contract."""

import sys
from pathlib import Path

from _stage import RECORDS, run
from glioseg.data.cases import COHORT, read_cohort
from glioseg.data.store_survey import measure_store
from glioseg.data.survey import measure_cohort
from glioseg.data.verdict import PREDICTION_ONLY, REFUSED, Verdict
from glioseg.params import load_params

RAW, CROPPED = Path("data/raw"), Path("data/cropped")
DOCS, VERDICTS = Path("reports/data_docs"), Path("reports/validation")


def validate_raw() -> Verdict:
    params = load_params().validate_
    cases = read_cohort(RAW / COHORT)
    rows = measure_cohort(cases, records=RECORDS)
    from glioseg.data.contracts import check_raw  # Great Expectations loads for eight seconds

    return check_raw(cases, rows, params, docs=DOCS / "raw")


def validate_cropped() -> Verdict:
    crop = load_params().crop
    raw = RAW if crop.on_the_fly else None
    rows = measure_store(CROPPED, spacings_mm=crop.spacings_mm, raw=raw, records=RECORDS)
    from glioseg.data.contracts import check_cropped

    return check_cropped(rows, docs=DOCS / "cropped")


STAGES = {"raw": validate_raw, "cropped": validate_cropped}


def main() -> None:
    match sys.argv[1:]:
        case [stage] if stage in STAGES:
            verdict = STAGES[stage]()
        case given:
            raise ValueError(f"expected one argument of {list(STAGES)}, got {given}")
    verdict.save(VERDICTS / f"{verdict.stage}.json")
    for violation in verdict.violations:
        print(violation, file=sys.stderr)
    for status in (PREDICTION_ONLY, REFUSED):
        if names := verdict.named(status):
            print(f"validate {verdict.stage}: {status.replace('_', ' ')}: {', '.join(names)}")
    print(f"validate {verdict.stage}: {verdict.outcome}, {len(verdict.cases)} cases")
    verdict.require(DOCS / verdict.stage / "index.html")


if __name__ == "__main__":
    run(main)

"""Stage acquire: bring the cohort into data/raw."""

from pathlib import Path

from _stage import RECORDS, run
from glioseg.data.acquire import acquire_folder, acquire_phantoms
from glioseg.params import load_params

RAW = Path("data/raw")


def main() -> None:
    params = load_params()
    if scans := params.data.scans:
        cases = acquire_folder(RAW, source=scans, scheme=params.data.scheme, records=RECORDS)
    else:
        cases = acquire_phantoms(RAW, **params.phantom.model_dump(), records=RECORDS)
    labelled = sum(case.labelled for case in cases)
    schemes = " and ".join(sorted({case.scheme for case in cases}))
    print(f"acquire: {len(cases)} cases in {RAW}, {labelled} with a segmentation ({schemes})")


if __name__ == "__main__":
    run(main)

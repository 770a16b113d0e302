"""Stage acquire: bring the cohort into data/raw."""

from pathlib import Path

from _stage import run
from glioseg.data.acquire import acquire_folder, acquire_phantoms
from glioseg.params import load_params

RAW = Path("data/raw")


def main() -> None:
    params = load_params()
    if params.data.folder is not None and params.data.source == "folder":
        cases = acquire_folder(RAW, source=params.data.folder, scheme=params.data.scheme)
    else:
        cases = acquire_phantoms(RAW, cases=params.phantom.cases, seed=params.phantom.seed)
    labelled = sum(case.labelled for case in cases)
    schemes = " and ".join(sorted({case.scheme for case in cases}))
    print(f"acquire: {len(cases)} cases in {RAW}, {labelled} with a segmentation ({schemes})")


if __name__ == "__main__":
    run(main)

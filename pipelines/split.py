"""Stage split: divide the cropped cases into training, validation and test cases, and into folds."""

import json
from pathlib import Path

from _stage import run
from glioseg.core.files import read_json, write_atomic
from glioseg.data.cohort.cases import COHORT, read_cohort
from glioseg.data.cohort.splits import split_cases
from glioseg.data.store.cropped_cases import MANIFEST, read_table
from glioseg.params import load_params

RAW, CROPPED, SPLITS = Path("data/raw"), Path("data/cropped"), Path("data/splits.json")
VALIDATION = Path("reports/validation/raw.json")


def main() -> None:
    manifest = read_table(CROPPED / MANIFEST, {"case": str, "patient": str, "grade": str})
    near_duplicates = read_json(VALIDATION)["near_duplicates"]
    patients = {case.case: case.patient for case in read_cohort(RAW / COHORT)}
    splits = split_cases(
        manifest, near_duplicates=near_duplicates, patients=patients, **load_params().split.model_dump()
    )
    write_atomic(SPLITS, json.dumps(splits, indent=2).encode() + b"\n")
    sizes = ", ".join(f"{len(splits[part])} {part}" for part in ("train", "validation", "test"))
    print(f"split: {sizes}; {len(splits['folds'])} folds")


if __name__ == "__main__":
    run(main)

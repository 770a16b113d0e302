"""Stage split: divide the cropped cases into train, validation and test, and folds."""

import json
from pathlib import Path

from _stage import run
from glioseg.core.files import read_json, write_whole
from glioseg.data.cohort.cases import COHORT, read_cohort
from glioseg.data.cohort.splits import split_cases
from glioseg.data.store.cropped_store import MANIFEST, read_table
from glioseg.params import load_params

RAW, CROPPED, SPLITS = Path("data/raw"), Path("data/cropped"), Path("data/splits.json")
VERDICT = Path("reports/validation/raw.json")


def main() -> None:
    manifest = read_table(CROPPED / MANIFEST, {"case": str, "patient": str, "grade": str})
    alike = read_json(VERDICT)["alike"]
    patients = {case.case: case.patient for case in read_cohort(RAW / COHORT)}
    splits = split_cases(manifest, alike=alike, patients=patients, **load_params().split.model_dump())
    write_whole(SPLITS, json.dumps(splits, indent=2).encode() + b"\n")
    sizes = ", ".join(f"{len(splits[part])} {part}" for part in ("train", "validation", "test"))
    print(f"split: {sizes}; {len(splits['folds'])} folds")


if __name__ == "__main__":
    run(main)

"""Stage split: divide the cropped cases into training, validation and test cases, and into folds."""

import json
from pathlib import Path

from _stage import run
from glioseg.core.files import read_json, write_atomic
from glioseg.data.cohort.cases import COHORT, read_cohort
from glioseg.data.cohort.splits import split_cases
from glioseg.data.store.cropped_cases import MANIFEST, read_table
from glioseg.models.builtin import training_images
from glioseg.params import load_params

RAW, CROPPED, SPLITS = Path("data/raw"), Path("data/cropped"), Path("data/splits.json")
VALIDATION = Path("reports/validation/raw.json")


def main() -> None:
    manifest = read_table(CROPPED / MANIFEST, {"case": str, "patient": str, "grade": str})
    validation, known = read_json(VALIDATION), training_images()
    learned_from = {row["case"] for row in validation["volumes"] if row["voxels_sha256"] in known}
    patients = {case.case: case.patient for case in read_cohort(RAW / COHORT)}
    splits = split_cases(
        manifest,
        near_duplicates=validation["near_duplicates"],
        patients=patients,
        training_only=learned_from,
        **load_params().split.model_dump(),
    )
    write_atomic(SPLITS, json.dumps(splits, indent=2).encode() + b"\n")
    sizes = ", ".join(f"{len(splits[part])} {part}" for part in ("train", "validation", "test"))
    print(f"split: {sizes}; {len(splits['folds'])} folds")
    for part in ("validation", "test"):
        if seen := sorted(learned_from.intersection(splits[part])):
            print(
                f"split: {len(seen)} of {len(splits[part])} {part} cases are training cases of the built-in"
                " model, so its Dice on them, and that of models that start from it, is too high:"
                f" {', '.join(seen)}"
            )


if __name__ == "__main__":
    run(main)

"""Stage split: divide the cropped cases into train, validation and test, and folds."""

import json
from pathlib import Path

from _stage import run
from glioseg.data.splits import split_cases
from glioseg.data.store import MANIFEST
from glioseg.files import write_whole
from glioseg.params import load_params

CROPPED, SPLITS = Path("data/cropped"), Path("data/splits.json")
VERDICT = Path("reports/validation/raw.json")


def main() -> None:
    import pandas as pd  # in here: Ctrl-C ends its import with one line only once _stage is imported

    manifest = pd.read_csv(CROPPED / MANIFEST, dtype={"case": str, "patient": str, "grade": str})
    alike = json.loads(VERDICT.read_text())["alike"]
    splits = split_cases(manifest, alike=alike, **load_params().split.model_dump())
    write_whole(SPLITS, json.dumps(splits, indent=2).encode() + b"\n")
    sizes = ", ".join(f"{len(splits[part])} {part}" for part in ("train", "validation", "test"))
    print(f"split: {sizes}; {len(splits['folds'])} folds")


if __name__ == "__main__":
    run(main)

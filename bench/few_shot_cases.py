"""The real cases of `few_shot`, cropped once, and a cohort for each training."""

import json
from hashlib import sha256
from pathlib import Path

import pandas as pd

from bench.cohort import Cohort
from bench.few_shot_design import Training
from bench.options import Options
from bench.results import Row, once
from glioseg.data.cohort.ingest import acquire_folder
from glioseg.data.cohort.layouts import find_cases
from glioseg.data.store.cropped_cases import MANIFEST
from glioseg.data.store.cropped_store import store_cohort
from glioseg.params import load_params

SMOKE_CASES = 3


def prepare(options: Options) -> tuple[Path, list[str]]:
    """A folder with the raw and the cropped cases, and the names of those with labels.

    Cases with about as much enhancing tumour, and then with about as much tumour, are beside each other.

    Raises:
        ValueError: no folder of real cases was given, or two cases are of one patient.
    """
    if options.real is None:
        raise ValueError("few_shot: expected a folder of labelled cases in GLIOSEG_REAL_SCANS, got none")
    names = " ".join(case.case for case in find_cases(options.real))
    base = (options.work / "few_shot" / f"cases_{short_hash(names)}").resolve()

    def store() -> Row:
        found = acquire_folder(base / "raw", source=options.real, records=base / "records")
        cases = [case for case in found if case.labelled][: SMOKE_CASES if options.smoke else None]
        if len(patients := {case.patient for case in cases}) < len(cases):
            raise ValueError(f"few_shot: expected one case a patient, got {len(cases)} of {len(patients)}")
        margin_vox, spacings_mm = load_params().crop.margin_vox, (load_params().network.spacing_mm,)
        given = {"margin_vox": margin_vox, "spacings_mm": spacings_mm, "records": base / "records"}
        store_cohort(base / "cropped", cases, **given)
        table = pd.read_csv(base / "cropped" / MANIFEST, dtype={"case": str})
        table["wt_vox"] = table["ncr_vox"] + table["ed_vox"] + table["et_vox"]
        return {"ranked": table.sort_values(["et_vox", "wt_vox", "case"])["case"].tolist()}

    return base, once(base / "ranked.json", store)["ranked"]


def cohort_of(folder: Path, base: Path, training: Training) -> Cohort:
    """A cohort of the cases of one training; its validation case, which nnU-Net asks for, is one of them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("raw", "cropped"):
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(base / name)
    splits = {"train": training.cases, "validation": training.cases[:1], "test": training.tests}
    (folder / "splits.json").write_text(json.dumps(splits))
    (folder / training.method).mkdir(exist_ok=True)
    return Cohort(folder)


def short_hash(text: str) -> str:
    """A short name for a text."""
    return sha256(text.encode()).hexdigest()[:8]

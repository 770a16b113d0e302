"""The cohort as nnU-Net wants it, which MONAI's SegResNet reads as well."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.cohort import Cohort, images
from bench.nested import to_nested
from glioseg.core.labels import from_scheme
from glioseg.core.modalities import MODALITIES, SEGMENTATION
from glioseg.core.nifti import Volume, read_volume, write_volume
from glioseg.data.cohort.cases import Case

NUMBER = "501"
DATASET = f"Dataset{NUMBER}_Phantoms"
DESCRIPTION = {
    "channel_names": dict(enumerate(MODALITIES)),
    "labels": {"background": 0, "WT": [1, 2, 3], "TC": [2, 3], "ET": [3]},
    "regions_class_order": [1, 2, 3],
    "file_ending": ".nii.gz",
}
"""Region-based training, as nnU-Net's own entry for BraTS."""


def label_file(folder: Path, name: str) -> Path:
    """Where a training case's nested labels lie."""
    return folder / DATASET / "labelsTr" / f"{name}.nii.gz"


def write_dataset(folder: Path, cases: Sequence[Case]) -> dict[str, int]:
    """Write labelled cases: images as links to the raw ones, and nested labels.

    Returns:
        How many there are.
    """
    for case in cases:
        for number, image in enumerate(images(case)):
            link = folder / DATASET / "imagesTr" / f"{case.case}_{number:04}.nii.gz"
            link.parent.mkdir(parents=True, exist_ok=True)
            link.unlink(missing_ok=True)
            link.symlink_to(image)
        _write_labels(case, label_file(folder, case.case))
    count = {"numTraining": len(cases)}
    (folder / DATASET / "dataset.json").write_text(json.dumps(DESCRIPTION | count, indent=2))
    return count


def write_splits(folder: Path, cohort: Cohort) -> None:
    """Give nnU-Net's preprocessed dataset the cohort's own split as its only fold."""
    fold = {"train": cohort.splits["train"], "val": cohort.splits["validation"]}
    (folder / DATASET / "splits_final.json").write_text(json.dumps([fold]))


def _write_labels(case: Case, path: Path) -> None:
    known = read_volume(case.files[SEGMENTATION])
    labels = from_scheme(np.rint(known.data).astype(np.int16), case.scheme)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_volume(path, Volume(to_nested(labels), known.grid))

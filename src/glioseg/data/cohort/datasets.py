"""dataset.json of the Decathlon and of nnU-Net: the meaning of channels and of label values."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glioseg.core.errors import GliosegError
from glioseg.core.labels import TISSUES, Label, LabelScheme
from glioseg.core.modalities import MODALITIES, SEGMENTATION
from glioseg.data.cohort.cases import Case
from glioseg.data.cohort.file_names import CHANNEL, IMAGE_FOLDERS, NIFTI_SUFFIX, folder_role, recognise

DATASET = "dataset.json"
DECATHLON = "MSD Task01_BrainTumour (dataset.json, imagesTr, labelsTr, imagesTs)"
DECATHLON_TISSUES = {"1": "edema", "2": "non-enhancing tumor", "3": "enhancing tumour"}
"""The tissues by their label values in dataset.json: those of `LabelScheme.MSD`."""


class LayoutError(GliosegError):
    """A broken dataset.json, or one of another task; the message names it."""


@dataclass(frozen=True)
class NnUNetDataset:
    """A dataset in nnU-Net's raw format: the modality of each channel, and the label scheme."""

    modalities: Mapping[int, str]
    scheme: LabelScheme
    note: str = ""


ASSUMED = NnUNetDataset(
    dict(enumerate(MODALITIES)),
    LabelScheme.MSD,
    "no dataset.json: assumed nnU-Net's order for BraTS, 0000 T1, 0001 T1ce, 0002 T2, 0003 FLAIR,"
    " and labels 1 oedema, 2 non-enhancing core, 3 enhancing tumour (msd)",
)
"""A dataset without dataset.json, as nnU-Net converts BraTS."""


def is_nnunet(folder: Path) -> bool:
    """Whether the images beside a dataset.json have one file a channel; those of the Decathlon are 4D."""
    names = [file.name for part in IMAGE_FOLDERS for file in (folder / part).glob("*")]
    return any((known := recognise(name)) and known.role == CHANNEL for name in names)


def read_nnunet(folder: Path) -> NnUNetDataset:
    """The channels and the label scheme of nnU-Net's dataset.json, version 1 or 2.

    Raises:
        LayoutError: dataset.json cannot be read, or a channel has an unknown or repeated name.
    """
    path = folder / DATASET
    try:
        record = json.loads(path.read_text())
        channels = {int(i): str(m) for i, m in (record.get("channel_names") or record["modality"]).items()}
        labels = dict(record["labels"])
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise LayoutError(f"{path}: not a dataset.json of nnU-Net: {error!r}") from None
    modalities = {number: folder_role(name) or name for number, name in channels.items()}
    if not set(modalities.values()) <= set(MODALITIES) or len(set(modalities.values())) < len(modalities):
        raise LayoutError(
            f"{path}: channel_names: expected T1, T1ce, T2 and FLAIR, each at most once,"
            f" got {', '.join(channels.values())}"
        )
    scheme = _scheme(labels)
    note = "" if scheme else f"{path}: labels not recognised: assumed msd; data.scheme overrides it"
    return NnUNetDataset(modalities, scheme or LabelScheme.MSD, note)


def _scheme(labels: Mapping[str, Any]) -> LabelScheme | None:
    """The label scheme of dataset.json: {region: values}, {tissue: value} or {value: tissue}."""
    regions = {_region(name): set(values) for name, values in labels.items() if isinstance(values, list)}
    single = {_region(name): {value} for name, value in labels.items() if isinstance(value, int)}
    regions = {**single, **regions} if regions else {}
    if {"WT", "TC", "ET"} <= regions.keys():
        wt, tc, et = (regions[name] for name in ("WT", "TC", "ET"))
        tissues = {**dict.fromkeys(wt - tc, Label.ED), **dict.fromkeys(tc - et, Label.NCR)}
        tissues |= dict.fromkeys(et, Label.ET)
    else:
        pairs = [(v, k) if str(k).isdigit() else (k, v) for k, v in labels.items()]
        named = {int(value): _tissue(str(name)) for name, value in pairs if str(value).isdigit()}
        tissues = {value: tissue for value, tissue in named.items() if value and tissue is not None}
        if len(tissues) < len(named.keys() - {0}):
            return None
    return next((s for s, own in TISSUES.items() if {v: t for v, t in own.items() if v} == tissues), None)


def _region(name: str) -> str:
    words = {"WT": r"whole|\bwt\b", "TC": r"core|\btc\b", "ET": r"enhanc|\bet\b"}
    return next((region for region, word in words.items() if re.search(word, name.lower())), name)


def _tissue(name: str) -> Label | None:
    words = {
        Label.BACKGROUND: r"cavity|\brc\b",
        Label.ED: r"edema|\bed\b",
        Label.NCR: r"necro|non|\bncr\b|\bnet\b",
        Label.ET: r"enhanc|\bet\b",
    }
    return next((tissue for tissue, word in words.items() if re.search(word, name.lower())), None)


def decathlon_cases(folder: Path) -> Iterator[Case]:
    """The cases of a folder of the Decathlon's Task01: dataset.json, imagesTr, labelsTr and imagesTs.

    Raises:
        LayoutError: dataset.json cannot be read, or belongs to another task.
    """
    channels = _decathlon_channels(folder / DATASET)
    for part in IMAGE_FOLDERS:
        for images in sorted((folder / part).glob("[!.]*")):
            if NIFTI_SUFFIX.search(images.name):
                name, label = NIFTI_SUFFIX.sub("", images.name), folder / "labelsTr" / images.name
                files = dict.fromkeys(channels, images) | ({SEGMENTATION: label} if label.exists() else {})
                yield Case(name, files, LabelScheme.MSD, source=str(folder), channels=dict(channels))


def _decathlon_channels(path: Path) -> dict[str, int]:
    """The index of each modality along the last axis of the images."""
    try:
        record = json.loads(path.read_text())
        channels = {folder_role(str(m)) or str(m): int(i) for i, m in record["modality"].items()}
        tissues = {value: str(record["labels"].get(value)).lower() for value in DECATHLON_TISSUES}
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise LayoutError(f"{path}: not a dataset.json of the Decathlon: {error!r}") from None
    if channels.keys() != set(MODALITIES):
        raise LayoutError(f"{path}: modality: expected FLAIR, T1w, t1gd and T2w, got {', '.join(channels)}")
    if tissues != DECATHLON_TISSUES:
        raise LayoutError(f"{path}: labels: expected {DECATHLON_TISSUES}, got {tissues}")
    return channels

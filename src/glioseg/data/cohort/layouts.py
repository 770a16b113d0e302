"""The folder layouts in which BraTS and the Medical Segmentation Decathlon came: one table of them all."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from glioseg.core.errors import GliosegError
from glioseg.core.labels import Scheme
from glioseg.core.modalities import MODALITIES, ROLES

SUFFIX = re.compile(r"\.nii(\.gz)?$")


class LayoutError(GliosegError):
    """A folder whose layout is not known, or is not kept; the message names it."""


@dataclass(frozen=True)
class Layout:
    """How the files of one era are named: a case's name, then an ending that tells the role.

    `scheme` is the era's own; label maps may show another (`schemes.settle_schemes`).
    """

    title: str
    scheme: Scheme
    endings: Mapping[str, str]

    def __str__(self) -> str:
        return f"{self.title} (CASE{{{','.join(self.endings)}}}.nii.gz)"


LAYOUTS = (
    # Grade: an HGG or LGG folder (2017 to 2019) or name_mapping.csv (2019, 2020). Survival: a survival*.csv.
    Layout("BraTS 2017 to 2021", Scheme.BRATS2021, {f"_{role}": role for role in ROLES}),
    Layout(
        "BraTS 2023 and 2024",
        Scheme.BRATS2023,
        {"-t1n": "t1", "-t1c": "t1ce", "-t2w": "t2", "-t2f": "flair", "-seg": "seg"},
    ),
)

DECATHLON = "MSD Task01_BrainTumour (dataset.json, imagesTr, labelsTr, imagesTs)"
DATASET = "dataset.json"
CHANNELS = {"flair": "flair", "t1w": "t1", "t1gd": "t1ce", "t2w": "t2"}
"""What dataset.json calls the modalities, in lower case."""
TISSUE_NAMES = {"1": "edema", "2": "non-enhancing tumor", "3": "enhancing tumour"}
"""What its label values stand for: those of `Scheme.MSD`."""


def known_layouts() -> str:
    """All layouts, for an error's message."""
    return "; ".join([*map(str, LAYOUTS), DECATHLON])


def match_name(name: str) -> tuple[str, Layout, str] | None:
    """Split a file's name into case, layout and role, or None where it is not a case's file.

    >>> case, layout, role = match_name("BraTS-GLI-00000-000-t1c.nii.gz")
    >>> case, layout.title, role
    ('BraTS-GLI-00000-000', 'BraTS 2023 and 2024', 't1ce')
    """
    stem = SUFFIX.sub("", name)
    if stem == name or name.startswith("."):
        return None
    for layout in LAYOUTS:
        for ending, role in layout.endings.items():
            if stem.endswith(ending) and stem != ending:
                return stem.removesuffix(ending), layout, role
    return None


@dataclass(frozen=True)
class DecathlonCase:
    """A case of the Decathlon: all modalities in one 4D file, `channels` says which is where in it."""

    name: str
    images: Path
    channels: Mapping[str, int]
    label: Path | None


def decathlon_cases(folder: Path) -> list[DecathlonCase]:
    """The cases of a folder of the Decathlon's Task01, by what its dataset.json says.

    Args:
        folder: holds dataset.json, imagesTr, labelsTr and imagesTs.

    Raises:
        LayoutError: dataset.json cannot be read, or is that of another task.
    """
    channels = _channels(folder / DATASET)
    found = []
    for part in ("imagesTr", "imagesTs"):
        for images in sorted((folder / part).glob("[!.]*.nii*")):
            if SUFFIX.search(images.name):
                label = folder / "labelsTr" / images.name
                name = SUFFIX.sub("", images.name)
                found.append(DecathlonCase(name, images, channels, label if label.exists() else None))
    return found


def _channels(path: Path) -> dict[str, int]:
    """Which modality each channel of the images holds."""
    try:
        record = json.loads(path.read_text())
        named = {CHANNELS.get(str(m).lower(), str(m)): int(i) for i, m in record["modality"].items()}
        tissues = {value: str(record["labels"].get(value)).lower() for value in TISSUE_NAMES}
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise LayoutError(f"{path}: not a dataset.json of the Decathlon: {error!r}") from None
    if named.keys() != set(MODALITIES):
        raise LayoutError(f"{path}: modality: expected FLAIR, T1w, t1gd and T2w, got {', '.join(named)}")
    if tissues != TISSUE_NAMES:
        raise LayoutError(f"{path}: labels: expected {TISSUE_NAMES}, got {tissues}")
    return named

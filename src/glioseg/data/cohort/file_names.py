"""The table of file names: which image of which case a NIfTI file is.

Command line, cohort and the service's page read names by this one table: `recognise` here, and
`serving/page/files.js` with the same patterns, which Python and JavaScript understand alike. Upper and lower
case count as the same. A file that matches no row has no role.

The names of the cases of BraTS also tell which challenge they belong to.
"""

import re
from dataclasses import dataclass

from glioseg.core.labels import LabelScheme
from glioseg.core.modalities import MODALITIES, SEGMENTATION

NIFTI_SUFFIX = re.compile(r"\.nii(\.gz)?$", re.IGNORECASE)
CHANNEL = "channel"
"""The role of nnU-Net's files: their number and dataset.json give the modality."""
OTHER_SEGMENTATION = "other segmentation"
"""The role of brain masks and predictions; it becomes `seg` if images have the same name: P01_brain_t1."""

FLAGS = re.IGNORECASE | re.DOTALL
"""A name may hold any character, a line break too."""

_ENDINGS = {
    "t1ce": r"(?:ce[-_]?)?t1w?[-_+]?(?:ce|c|gd|gad|km|post|(?:post[-_]?)?contrast)|ce[-_]?t1w?|ct1w?",
    "t1": r"t1(?:n|w|w?[-_]?pre)?",
    "flair": r"t2f|(?:t2w?[-_]?)?flair",
    "t2": r"t2w?",
    SEGMENTATION: r"(?:tumou?r[-_]?)?(?:segm?|segmentation|labels?|truth|gt)|glistrboost_manuallycorrected",
}
_NOT_TUMOUR = (
    r"brain|parenchyma|mask|skull|tissue|fast|ventricles?|pred|prediction|predicted|auto|automated|approx"
    r"|prob|probability|entropy"
)
"""Words before "seg" that make it the segmentation of something else, or the output of a program."""
_SUBJECT = r"(sub-[a-z0-9]+(?:_ses-[a-z0-9]+)?)"
_ENTITIES = r"(?:_(?!ce-)[a-z]+-[a-z0-9+]+)*"
_CONTRAST = r"_(?:ce-[a-z0-9]+|acq-(?:ce|gd|gad|post|postcontrast))"
_LESION = r"_(?:label|desc)-(?:tumou?r|lesion|glioma)[a-z0-9]*"

PATTERNS: tuple[tuple[str, str | None], ...] = (
    (rf"((?:.*[-_. ])?(?:{_NOT_TUMOUR}))[-_. ]?(?:{_ENDINGS[SEGMENTATION]})", OTHER_SEGMENTATION),
    # BIDS. Its _mask is binary and does not tell tissues; its _dseg without a label is one of brain tissue.
    (_SUBJECT + _ENTITIES + _CONTRAST + _ENTITIES + r"_t1w", "t1ce"),
    (rf"{_SUBJECT}_(?:.*_)?ce-.*", None),
    (_SUBJECT + _ENTITIES + r"_t1w", "t1"),
    (_SUBJECT + _ENTITIES + r"_t2w", "t2"),
    (_SUBJECT + _ENTITIES + r"_flair", "flair"),
    (_SUBJECT + _ENTITIES + _LESION + _ENTITIES + r"_dseg", SEGMENTATION),
    # A file of BraTS 2020 whose name lacks its case, BraTS20_Training_355.
    (r"()w39_1998\.09\.19_segm", SEGMENTATION),
    *((rf"(?:(.+?)[-_. ])?(?:{endings})", role) for role, endings in _ENDINGS.items()),
    (r"(.+)_(000[0-3])", CHANNEL),
)
"""Rows of a pattern of the whole name without .nii.gz, and a role, or None for a file to leave out. The first
row that matches counts; its first group is the case, empty for a name such as T1.nii.gz."""

SINCE_2023 = r".+-(?:t1c|t2w)|(?:.*[-_. ])?(?:t1n|t2f)"
"""Names of BraTS 2023 on, whose usual label scheme differs."""

DERIVED = rf"(?:.*[-_. ])?(?:{_NOT_TUMOUR})(?:[-_. ]?(?:{_ENDINGS[SEGMENTATION]}))?"
"""Names of masks and of programs' outputs, which are no images of a modality wherever they lie."""

FOLDERS = {
    **_ENDINGS,
    SEGMENTATION: rf"{_ENDINGS[SEGMENTATION]}|labelst[rs]|segmentations",
}
"""Names of folders that hold the images of one modality, or the segmentations."""

IMAGE_FOLDERS = ("imagesTr", "imagesTs")
"""Folders of images in the Decathlon and in nnU-Net."""

CHALLENGE_NAME = "BraTS-[A-Z]+(?=-)"
"""The challenge in a case's name, such as BraTS-PED-00030-000."""

KNOWN = (
    "t1: t1, t1n, t1w, t1pre; t1ce: t1ce, t1c, t1gd, t1post; t2: t2, t2w; flair: flair, t2f, t2_flair; "
    "seg: seg, segm, segmentation, tumor_segmentation, label, truth; nnU-Net's _0000 to _0003; BIDS"
)


@dataclass(frozen=True)
class FileName:
    """What a file's name tells: case, role, and the usual label scheme of such names.

    `case` is empty for a name without one; `channel` is the number of a file of nnU-Net.
    """

    case: str
    role: str
    scheme: LabelScheme = LabelScheme.BRATS2021
    channel: int = 0


_COMPILED = tuple((re.compile(pattern, FLAGS), role) for pattern, role in PATTERNS)
_SINCE_2023 = re.compile(SINCE_2023, FLAGS)
_DERIVED = re.compile(DERIVED, FLAGS)
_FOLDERS = {role: re.compile(names, FLAGS) for role, names in FOLDERS.items()}


def recognise(name: str) -> FileName | None:
    """Case and role of a file name, or None if it has no role.

    >>> recognise("BraTS-GLI-00000-000-t1c.nii.gz")
    FileName(case='BraTS-GLI-00000-000', role='t1ce', scheme=<LabelScheme.BRATS2023: 'brats2023'>, channel=0)
    >>> recognise("UPENN-GBM-00001_11_T1GD.nii.gz").role, recognise("T1.nii").case
    ('t1ce', '')
    >>> recognise("UCSF-PDGM-0004_brain_segmentation.nii.gz").role
    'other segmentation'
    >>> recognise("UCSF-PDGM-0004_T1_bias.nii.gz") is None
    True
    """
    stem = NIFTI_SUFFIX.sub("", name)
    if stem == name or name.startswith("."):
        return None
    for pattern, role in _COMPILED:
        if match := pattern.fullmatch(stem):
            if role is None:
                return None
            scheme = LabelScheme.BRATS2023 if _SINCE_2023.fullmatch(stem) else LabelScheme.BRATS2021
            return FileName(match[1] or "", role, scheme, int(match[2]) if role == CHANNEL else 0)
    return None


def folder_role(name: str) -> str | None:
    """The role of all files in a folder with this name, such as T1ce or labelsTr; None for other folders."""
    return next((role for role, names in _FOLDERS.items() if names.fullmatch(name)), None)


def is_derived(name: str) -> bool:
    """Whether a name is that of a mask or of a program's output, such as P01_mask.nii.gz."""
    return bool(_DERIVED.fullmatch(NIFTI_SUFFIX.sub("", name)))


@dataclass(frozen=True)
class Challenge:
    """A challenge of BraTS for other tumours than an adult's untreated glioma.

    `cases`: what its cases show; `scheme`: its label scheme, unless the file names tell it.
    """

    name: str
    cases: str
    scheme: LabelScheme | None = None


CHALLENGES = {
    challenge.name: challenge
    for challenge in (
        Challenge("BraTS-PED", "gliomas of children", LabelScheme.BRATS_PED),
        Challenge("BraTS-SSA", "gliomas in Sub-Saharan Africa, on scans of lower resolution and contrast"),
        Challenge("BraTS-MEN", "meningiomas"),
        Challenge("BraTS-MET", "brain metastases"),
    )
}


def challenge_of(case: str) -> Challenge | None:
    """The challenge that a case's name contains; None for an adult's glioma (BraTS-GLI) or another name.

    >>> challenge_of("BraTS-PED-00030-000").cases
    'gliomas of children'
    >>> challenge_of("BraTS-GLI-00005-100") is None
    True
    """
    found = re.search(CHALLENGE_NAME, case)
    return CHALLENGES.get(found[0]) if found else None


def usual_scheme(case: str, scheme: LabelScheme) -> LabelScheme:
    """The usual label scheme of a case: that of its challenge, else that of its file names.

    >>> usual_scheme("BraTS-PED-00030-000", LabelScheme.BRATS2023).value
    'brats_ped'
    >>> usual_scheme("BraTS-MET-00086-000", LabelScheme.BRATS2023).value
    'brats2023'
    """
    challenge = challenge_of(case)
    return (challenge.scheme if challenge else None) or scheme


def table() -> dict[str, object]:
    """The table for the page, as JSON."""
    return {
        "patterns": PATTERNS,
        "folders": FOLDERS,
        "image_folders": IMAGE_FOLDERS,
        "derived": DERIVED,
        "other": OTHER_SEGMENTATION,
        "since_2023": SINCE_2023,
        "nifti": NIFTI_SUFFIX.pattern,
        "channels": MODALITIES,
        "challenge": CHALLENGE_NAME,
        "challenges": {name: _on_page(challenge) for name, challenge in CHALLENGES.items()},
        "known": KNOWN,
    }


def _on_page(challenge: Challenge) -> dict[str, str | None]:
    note = f"{challenge.name}: {challenge.cases}; the built-in model is made for an adult's glioma."
    return {"scheme": challenge.scheme, "note": note}

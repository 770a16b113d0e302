"""From file names to cases: which files of a folder belong together, and which belong to no case."""

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from glioseg.core.labels import LabelScheme
from glioseg.core.modalities import MODALITIES, ROLES, SEGMENTATION
from glioseg.data.cohort.cases import CohortError
from glioseg.data.cohort.clinical import first_few
from glioseg.data.cohort.datasets import ASSUMED, NnUNetDataset
from glioseg.data.cohort.file_names import (
    CHANNEL,
    IMAGE_FOLDERS,
    NIFTI_SUFFIX,
    OTHER_SEGMENTATION,
    FileName,
    folder_role,
    is_derived,
    recognise,
)
from glioseg.data.cohort.unread import NO_IMAGES, NO_ROLE, Unread, other_format

ONE_EACH = "one file in each folder of a modality, of different names: read as one case"
NO_COMMON_NAME = (
    "several files in the folders of a modality, without a common name: each file is a case of its own;"
    " give the files of one case one name, or set data.pattern"
)
PREDICTIONS = "summary.csv"
"""A folder with this file holds predictions of `glioseg predict`, not truth."""


@dataclass
class Group:
    """The files of one case: its folder, its name, the file of each role, and the usual label scheme."""

    folder: Path
    case: str
    scheme: LabelScheme = LabelScheme.BRATS2021
    files: dict[str, Path] = field(default_factory=dict)

    def add(self, role: str, file: Path, scheme: LabelScheme) -> None:
        """Add a file.

        Raises:
            CohortError: the role has a file already.
        """
        if role in self.files:
            raise CohortError(f"{self.case}/{role}: expected one file, got {self.files[role]} and {file}")
        self.files[role] = file
        if scheme is not LabelScheme.BRATS2021:
            self.scheme = scheme

    @property
    def has_images(self) -> bool:
        """Whether there is at least one modality."""
        return any(role in self.files for role in MODALITIES)


@dataclass(frozen=True)
class _File:
    path: Path
    folder: Path
    known: FileName


def group_files(
    tree: Iterable[tuple[Path, Sequence[str]]], datasets: Mapping[Path, NnUNetDataset]
) -> tuple[list[Group], list[Unread], list[str]]:
    """The cases of a tree of folders, the files that belong to none, and notes on what was assumed.

    Files of one name in one folder are a case. Folders that each hold one modality, and nnU-Net's imagesTr
    and labelsTr, count as one folder; if each of them holds one file, these are a case whatever their names.
    A segmentation in a folder of its own belongs to the images with its name.

    Args:
        tree: folders with their file names, as from `walk_files`.
        datasets: nnU-Net's datasets by folder.

    Raises:
        CohortError: a role of a case has two files.
    """
    unread, notes = list[Unread](), dict[str, None]()
    groups: dict[tuple[Path, str], Group] = {}
    for here, names in tree:
        files = list(_read_folder(here, names, unread))
        for file in _resolve_channels(files, here, datasets, unread, notes):
            group = groups.setdefault((file.folder, file.known.case), Group(file.folder, file.known.case))
            group.add(file.known.role, file.path, file.known.scheme)
    joined = _join_modality_folders(groups.values(), notes)
    return _join_segmentations(joined, unread), unread, list(notes)


def _read_folder(here: Path, names: Sequence[str], unread: list[Unread]) -> Iterator[_File]:
    """The files of one folder that have a role; the other images become unread."""
    visible = [name for name in names if not name.startswith(".")]
    images = {name: recognise(name) for name in visible if NIFTI_SUFFIX.search(name)}
    others = (here / name for name in visible if name not in images)
    unread += [Unread(file, reason) for file in others if (reason := other_format(file))]
    role = _common_role(here, images) if PREDICTIONS not in names else None
    folder = here.parent if role or here.name in IMAGE_FOLDERS else here
    for name, known in _with_own_case(images, role).items():
        if known is None:
            unread.append(Unread(here / name, NO_ROLE))
        else:
            case = known.case or _case_of_bare_name(folder, images)
            yield _File(here / name, folder, replace(known, case=case))


def _common_role(here: Path, images: Mapping[str, FileName | None]) -> str | None:
    """The role of all files in a folder named after it, such as T1ce/P01.nii.gz; None in other folders.

    A folder T1 may also be that of a first visit, which holds images of all modalities.
    """
    role = folder_role(here.resolve().name)
    weak = (CHANNEL, OTHER_SEGMENTATION, role)
    return role if all(known is None or known.role in weak for known in images.values()) else None


def _with_own_case(images: Mapping[str, FileName | None], folder: str | None) -> dict[str, FileName | None]:
    """File names with the case and role that the other names of their folder suggest.

    Args:
        images: file name → what it tells alone.
        folder: the role of all files of the folder, if it is named after one.
    """
    if folder:
        return {name: _file_of_role(name, known, folder) for name, known in images.items()}
    cases = {known.case for known in images.values() if known}
    with_images = {known.case for known in images.values() if known and known.role in MODALITIES}
    result = dict(images)
    for name, known in images.items():
        if known and known.role == OTHER_SEGMENTATION:
            result[name] = replace(known, role=SEGMENTATION) if known.case in with_images else None
        elif known and (longer := _longer_case(name, known.role)) in cases:
            result[name] = replace(known, case=longer)
    return result


def _longer_case(name: str, role: str) -> str:
    """The case of a name if only its last word is the role, empty if that word is not.

    P01_T2_flair is the FLAIR of P01, or of its second visit, P01_T2; x_tumour_seg may belong to x_tumour.
    """
    match = re.fullmatch(r"(.+)[-_. ]([^-_. ]+)", NIFTI_SUFFIX.sub("", name), re.DOTALL)
    word = recognise(f"{match[2]}.nii") if match else None
    return match[1] if match and word and word.role == role else ""


def _file_of_role(name: str, known: FileName | None, role: str) -> FileName | None:
    """A file in a folder named after a role; the name of the file may repeat the role."""
    if known and known.role == role:
        return known
    return None if is_derived(name) else FileName(NIFTI_SUFFIX.sub("", name), role)


def _case_of_bare_name(folder: Path, images: Mapping[str, FileName | None]) -> str:
    """The case of T1.nii.gz: that of the other files if they agree, else the name of the folder."""
    cases = {known.case for known in images.values() if known and known.case and known.role in ROLES}
    return cases.pop() if len(cases) == 1 else folder.resolve().name


def _resolve_channels(
    files: Sequence[_File],
    here: Path,
    datasets: Mapping[Path, NnUNetDataset],
    unread: list[Unread],
    notes: dict[str, None],
) -> Iterator[_File]:
    """Files with the modalities of nnU-Net's channels, and the label scheme of its dataset."""
    numbers = defaultdict(set)
    for file in files:
        if file.known.role == CHANNEL:
            numbers[file.known.case].add(file.known.channel)
    for file in files:
        dataset = datasets.get(file.folder)
        if file.known.role == CHANNEL:
            if not dataset and numbers[file.known.case] == set(ASSUMED.modalities):
                dataset = ASSUMED
            note = f"{here}: {ASSUMED.note}" if dataset is ASSUMED else dataset.note if dataset else ""
            if note:
                notes[note] = None
            role = dataset.modalities.get(file.known.channel) if dataset else None
            if not (dataset and role):
                unread.append(Unread(file.path, NO_ROLE))
                continue
            yield replace(file, known=replace(file.known, role=role, scheme=dataset.scheme))
        else:
            yield replace(file, known=replace(file.known, scheme=dataset.scheme)) if dataset else file


def _join_modality_folders(groups: Iterable[Group], notes: dict[str, None]) -> list[Group]:
    """Cases whose folders of one modality hold one file each, of different names, such as P01/T1/003.nii.gz.

    Where such folders hold several files and share no name, each file remains a case, which a note says.
    """
    by_folder = defaultdict(list)
    for group in groups:
        by_folder[group.folder].append(group)
    result, joined, apart = list[Group](), list[str](), list[str]()
    for folder, same in by_folder.items():
        roles = [role for group in same for role in group.files]
        if not _share_no_name(same):
            result += same
        elif len(roles) == len(set(roles)):
            result.append(_as_one_case(folder, same))
            joined.append(str(folder))
        else:
            result += same
            apart.append(str(folder))
    if joined:
        notes[f"{first_few(joined)}: {ONE_EACH}"] = None
    if apart:
        notes[f"{first_few(apart)}: {NO_COMMON_NAME}"] = None
    return result


def _share_no_name(groups: Sequence[Group]) -> bool:
    """Whether the files of a folder lie in its folders of a modality, and no name occurs in two of them."""
    files = [(role, file) for group in groups for role, file in group.files.items()]
    in_folders = all(folder_role(file.parent.resolve().name) == role for role, file in files)
    apart = all(file.parent != group.folder for group in groups for file in group.files.values())
    return in_folders and apart and len(files) == len(groups) and len({role for role, _ in files}) > 1


def _as_one_case(folder: Path, groups: Sequence[Group]) -> Group:
    case = Group(folder, folder.resolve().name)
    for group in groups:
        for role, file in group.files.items():
            case.add(role, file, group.scheme)
    return case


def _join_segmentations(groups: Sequence[Group], unread: list[Unread]) -> list[Group]:
    """Cases whose segmentation lies in a folder of segmentations get it; other lone ones become unread.

    A folder named after its case that holds only a segmentation remains a case, which is refused for its
    missing images.
    """
    with_images = [group for group in groups if group.has_images]
    folders = {group.folder for group in with_images}
    for group in groups:
        if group.has_images:
            continue
        file = group.files[SEGMENTATION]
        same = [one for one in with_images if one.case == group.case and group.folder not in folders]
        own = _nearest(file.parent, same)
        if own and SEGMENTATION not in own.files:
            own.add(SEGMENTATION, file, group.scheme)
        elif own:
            unread.append(Unread(file, f"its case has the segmentation {own.files[SEGMENTATION]}"))
        elif group.folder.resolve().name == group.case and group.folder not in folders:
            with_images.append(group)
        else:
            unread.append(Unread(file, NO_IMAGES))
    return with_images


def _nearest(folder: Path, groups: Sequence[Group]) -> Group | None:
    """The group with the longest path in common with a folder.

    Raises:
        CohortError: several groups have.
    """
    shared = [len(os.path.commonpath([folder, group.folder])) for group in groups]
    nearest = [group for group, length in zip(groups, shared, strict=True) if length == max(shared)]
    if len(nearest) > 1:
        got = " and ".join(str(group.folder) for group in nearest)
        raise CohortError(f"{nearest[0].case}: expected one case for the segmentation in {folder}, got {got}")
    return nearest[0] if nearest else None

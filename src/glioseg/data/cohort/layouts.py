"""Find the cases in a user's folder: by the table of file names, by dataset.json, or by `data.pattern`."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from glioseg.core.labels import LabelScheme
from glioseg.core.modalities import ROLES
from glioseg.core.nifti import DICOM_ADVICE
from glioseg.data.cohort.cases import Case, CohortError
from glioseg.data.cohort.clinical import GRADES, ClinicalData, first_few, read_clinical_tables
from glioseg.data.cohort.datasets import (
    DATASET,
    DECATHLON,
    decathlon_cases,
    is_nnunet,
    read_nnunet,
)
from glioseg.data.cohort.file_names import IMAGE_FOLDERS, KNOWN, NIFTI_SUFFIX, recognise, usual_scheme
from glioseg.data.cohort.grouping import Group, group_files
from glioseg.data.cohort.inventory import walk_files
from glioseg.data.cohort.pattern import group_by_pattern
from glioseg.data.cohort.unread import DICOM, NO_ROLE, Unread, is_dicom, printable

OTHER_NAMES = f"; known: {KNOWN}; for other names, set data.pattern, or use predict --t1 … --flair"
LISTED_ENDINGS = 12
"""The number of kinds of file names that one line lists."""


@dataclass(frozen=True)
class FolderSearch:
    """The cases of a folder, the files that belong to none, and notes on what was skipped or assumed."""

    cases: list[Case]
    unread: list[Unread]
    notes: list[str]

    @property
    def lines(self) -> list[str]:
        """What a user must know: the notes, and a line for each reason why files are not read."""
        by_reason = defaultdict(list)
        for item in self.unread:
            by_reason[item.reason].append(item.file)
        names = [case.case for case in self.cases]
        return self.notes + [_unread_line(files, reason, names) for reason, files in by_reason.items()]


def _unread_line(files: Sequence[Path], reason: str, cases: Sequence[str]) -> str:
    """One line for all files that are not read for a reason; long lists are shortened to the names' ends."""
    known = OTHER_NAMES if reason == NO_ROLE else ""
    if len(files) == 1:
        return f"{printable(str(files[0]))}: not read: {reason}{known}"
    ends = Counter(printable(_without_case(file.name, cases)) for file in files)
    shown = [f"{end} ({count})" if count > 1 else end for end, count in ends.most_common(LISTED_ENDINGS)]
    more = f" and {len(ends) - len(shown)} more names" if len(ends) > len(shown) else ""
    return f"{len(files)} files not read: {reason}: {', '.join(shown)}{more}{known}"


def _without_case(name: str, cases: Sequence[str]) -> str:
    case = max((case for case in cases if name.startswith(case)), key=len, default="")
    return f"*{name.removeprefix(case)}" if case else name


def find_cases(folder: Path) -> list[Case]:
    """The cases of `search_folder`."""
    return search_folder(folder).cases


def search_folder(folder: Path, *, pattern: Mapping[str, str] | None = None) -> FolderSearch:
    """Every case in a folder, at any depth, sorted by name, and the files that belong to none.

    Links to folders are followed. The grade comes from an HGG or LGG folder above a case or from BraTS'
    `name_mapping.csv`, age and survival from its `survival*.csv`. Cases of the same name in several folders
    are told apart by the folders' names.

    Args:
        folder: of one case or of many.
        pattern: `data.pattern`; with None, the table of file names determines the roles.

    Raises:
        CohortError: the folder is missing or holds no case, or a role of a case has two files.
        LayoutError: a dataset.json belongs to another task.
        TableError: a table cannot be read.
    """
    if folder.is_file():
        advice = DICOM if is_dicom(folder) else "name the files of one case with --t1 … --flair"
        raise CohortError(f"{folder}: expected a folder of cases, got a file: {advice}")
    if not folder.is_dir():
        raise CohortError(f"{folder}: expected a folder of cases, found none")
    notes = list[str]()
    tree = list(walk_files(folder, skipped=notes.append))
    # Folders too, so that a folder with the name of a table is an error and not ignored.
    paths = (path for here, names in tree for path in (here, *map(here.joinpath, names)))
    clinical = read_clinical_tables(paths)
    stacked = list[Case]()
    if pattern:
        groups, unread = group_by_pattern(folder, tree, pattern)
    else:
        stacked, (groups, unread, assumed) = _from_names(folder, tree)
        notes += assumed
    found = [*_named_apart(folder, groups, clinical, notes), *_with_clinical(stacked, clinical)]
    cases = sorted(found, key=lambda case: case.case)
    search = FolderSearch(cases, unread, notes)
    if not cases:
        raise CohortError(_no_case(search, folder, tree))
    _check_names(cases)
    return search


def named_case(files: Mapping[str, Path]) -> Case:
    """The case whose files a user names one by one, called as its first file.

    Args:
        files: modality → file.

    Raises:
        CohortError: a file is missing, or is given for two modalities.
    """
    by_path: dict[Path, str] = {}
    for role, file in files.items():
        if reason := _no_volume(file):
            raise CohortError(f"{file}: --{role}: expected a NIfTI file, got {reason}")
        if other := by_path.get(file.resolve()):
            raise CohortError(f"{file}: expected one modality, got --{other} and --{role}")
        by_path[file.resolve()] = role
    known = [found for file in files.values() if (found := recognise(file.name))]
    first = next(iter(files.values()))
    bare = first.resolve().parent.name if recognise(first.name) else NIFTI_SUFFIX.sub("", first.name)
    name = next((found.case for found in known if found.case), bare)
    since_2023 = any(one.scheme is LabelScheme.BRATS2023 for one in known)
    scheme = LabelScheme.BRATS2023 if since_2023 else LabelScheme.BRATS2021
    return Case(name, dict(files), usual_scheme(name, scheme), source=str(first.parent))


def _no_volume(file: Path) -> str | None:
    if not file.is_file():
        return "a folder" if file.is_dir() else "none"
    return DICOM if is_dicom(file) else None


def _from_names(
    root: Path, tree: Sequence[tuple[Path, list[str]]]
) -> tuple[list[Case], tuple[list[Group], list[Unread], list[str]]]:
    """The cases of the Decathlon, and those that file names tell."""
    with_json = [here for here, names in tree if DATASET in names]
    if root.name in IMAGE_FOLDERS and is_nnunet(root.parent) and (root.parent / DATASET).is_file():
        with_json.append(root.parent)
    nnunet = {here: read_nnunet(here) for here in with_json if is_nnunet(here)}
    decathlon = [here for here in with_json if here not in nnunet]
    stacked = [case for here in decathlon for case in decathlon_cases(here)]
    own = {here / part for here in decathlon for part in (*IMAGE_FOLDERS, "labelsTr")}
    return stacked, group_files([(here, names) for here, names in tree if here not in own], nnunet)


def _with_clinical(cases: Iterable[Case], clinical: Mapping[str, ClinicalData]) -> list[Case]:
    return [_add_clinical(case, clinical.get(case.case, ClinicalData())) for case in cases]


def _add_clinical(case: Case, data: ClinicalData) -> Case:
    grade = _folder_grade(Path(case.source)) or data.grade
    return replace(case, grade=grade, age=data.age, survival_days=data.survival_days)


def _named_apart(
    root: Path, groups: Sequence[Group], clinical: Mapping[str, ClinicalData], notes: list[str]
) -> list[Case]:
    """A case for each group; groups of one name get the differing parts of their folders before it."""
    by_name = defaultdict(list)
    for group in groups:
        by_name[group.case].append(group)
    cases = []
    for name, same in by_name.items():
        parts = [list(group.folder.parts[len(root.parts) :]) for group in same]
        for end in (0, -1):
            while all(parts) and len({own[end] for own in parts}) == 1 < len(parts):
                for own in parts:
                    del own[end]
        names = ["_".join(["-".join(own), name] if own and len(same) > 1 else [name]) for own in parts]
        if len(same) > 1:
            notes.append(f"{name}: in {len(same)} folders: the cases are called {first_few(names)}")
        for group, called in zip(same, names, strict=True):
            files = {role: group.files[role] for role in ROLES if role in group.files}
            case = Case(called, files, usual_scheme(name, group.scheme), source=str(group.folder))
            cases.append(_add_clinical(case, clinical.get(name, ClinicalData())))
    return cases


def _check_names(cases: Sequence[Case]) -> None:
    for case in cases:
        if not case.case.isprintable():
            raise CohortError(f"{case.case!a}: expected a name that can be printed, in {case.source!a}")
    for one, other in pairwise(cases):
        if one.case == other.case:
            raise CohortError(f"{one.case}: two cases have this name: {one.source}, {other.source}")


def _no_case(search: FolderSearch, folder: Path, tree: Sequence[tuple[Path, list[str]]]) -> str:
    reasons = {item.reason for item in search.unread}
    if reasons == {DICOM}:
        count = len(search.unread)
        return f"{folder}: expected NIfTI files, got only DICOM ({count} files): {DICOM_ADVICE}"
    seen = Counter(name for _, names in tree for name in names)
    some = ", ".join(name for name, _ in seen.most_common(3)) or "nothing"
    lines = "".join(f"; {line.removesuffix(OTHER_NAMES)}" for line in search.lines)
    return f"{folder}: no case found among {seen.total()} files ({some}){lines}{OTHER_NAMES}; {DECATHLON}"


def _folder_grade(folder: Path) -> str | None:
    """HGG or LGG, if a folder in the path has that name; links are resolved only if none has."""
    parts = (*folder.resolve().parts, *folder.parts)
    return next((part for part in reversed(parts) if part in GRADES), None)

"""`data.pattern`: the files of each role, for names that the table of `file_names` does not know."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from glioseg.data.cohort.cases import CohortError
from glioseg.data.cohort.file_names import NIFTI_SUFFIX
from glioseg.data.cohort.grouping import Group
from glioseg.data.cohort.unread import Unread


def compile_pattern(text: str) -> re.Pattern[str]:
    """The regular expression of a pattern: {case} is the shortest text without /, * any text without /.

    A pattern matches the end of a path, from the beginning of a folder's or the file's name.

    >>> compile_pattern("{case}/*_ax_T1.nii.gz").fullmatch("site/P01/003_ax_T1.nii.gz")["case"]
    'P01'
    """
    parts = re.split(r"(\{case\}|\*)", text)
    groups, expression = 0, ""
    for part in parts:
        if part == "{case}":
            expression += "(?P=case)" if groups else "(?P<case>[^/]+?)"
            groups += 1
        else:
            expression += "[^/]*" if part == "*" else re.escape(part)
    return re.compile(rf"(?:.*/)?{expression}", re.DOTALL)


def group_by_pattern(
    root: Path, tree: Iterable[tuple[Path, Sequence[str]]], pattern: Mapping[str, str]
) -> tuple[list[Group], list[Unread]]:
    """The cases of a tree of folders by a pattern for each role, and the NIfTI files that match none.

    Args:
        root: the folder of the cohort.
        tree: it and the folders below, with their file names.
        pattern: role → pattern.

    Raises:
        CohortError: a file has two roles, or a role of a case has two files.
    """
    compiled = {role: compile_pattern(text) for role, text in pattern.items()}
    groups, unread = dict[str, Group](), list[Unread]()
    for here, names in tree:
        for file in (here / name for name in names if not name.startswith(".")):
            path = file.relative_to(root).as_posix()
            matches = {role: match for role, one in compiled.items() if (match := one.fullmatch(path))}
            if len(matches) > 1:
                raise CohortError(f"{file}: data.pattern: expected one role, got {' and '.join(matches)}")
            for role, match in matches.items():
                group = groups.setdefault(match["case"], Group(root, match["case"]))
                group.add(role, file, group.scheme)
            if not matches and NIFTI_SUFFIX.search(file.name):
                unread.append(Unread(file, "matches no data.pattern"))
    return list(groups.values()), unread

"""`data.pattern` finds files that no table knows."""

import pytest

from glioseg.data.cohort.cases import CohortError
from glioseg.data.cohort.layouts import search_folder

PATTERN = {"t1": "{case}/*_ax_T1.nii.gz", "flair": "{case}/{case}-dark.nii", "seg": "truth/{case}.nii.gz"}


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")


def test_roles_come_from_the_pattern_alone(tmp_path):
    names = ["s/P01/003_ax_T1.nii.gz", "s/P01/P01-dark.nii", "truth/P01.nii.gz", "s/P01/P02-dark.nii"]
    touch(tmp_path, *names, "s/P01/P01_t2.nii.gz", "s/P02/7_ax_T1.nii.gz")
    search = search_folder(tmp_path, pattern=PATTERN)
    one, two = search.cases
    assert {role: str(file.relative_to(tmp_path)) for role, file in one.files.items()} == {
        "t1": names[0],
        "flair": names[1],
        "seg": names[2],
    }
    assert (two.case, list(two.files)) == ("P02", ["t1"])
    assert [item.file.name for item in search.unread] == ["P01_t2.nii.gz", "P02-dark.nii"]
    assert search.lines == ["2 files not read: matches no data.pattern: *_t2.nii.gz, *-dark.nii"]


def test_ambiguous_patterns_are_errors(tmp_path):
    touch(tmp_path, "P01_T1ce.nii.gz", "P01_T1.nii.gz")
    with pytest.raises(
        CohortError, match=r"P01_T1ce\.nii\.gz: data\.pattern: expected one role, got t1 and t1ce"
    ):
        search_folder(tmp_path, pattern={"t1": "{case}_T1*.nii.gz", "t1ce": "{case}_T1ce.nii.gz"})
    with pytest.raises(
        CohortError, match=r"P01/t1: expected one file, got .*T1\.nii\.gz and .*T1ce\.nii\.gz"
    ):
        search_folder(tmp_path, pattern={"t1": "{case}_T1*.nii.gz"})

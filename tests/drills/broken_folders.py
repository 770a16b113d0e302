"""Broken folders, names and tables."""

import json
import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from tests.drills.cohort import IMAGES, ODD, read, scan, write, write_case
from tests.drills.kinds import (
    Defect,
    Kind,
    full_disk,
    no_superuser,
    prediction,
    refused,
    reported,
    skipped,
    stopped,
    works,
)


def in_place(make: Callable[[Path], object], role: str = "t2") -> Defect:
    """Replace one of Odd's files by something else."""

    def defect(home: Path) -> None:
        path = scan(home, role)
        path.unlink()
        make(path)

    return defect


def named(case: str) -> Defect:
    """Rename Odd, its folder and its files."""

    def defect(home: Path) -> None:
        for role in (*IMAGES, "seg"):
            scan(home, role).rename(home / ODD / f"{case}_{role}.nii.gz")
        (home / ODD).rename(home / case)

    return defect


def without(*roles: str) -> Defect:
    return lambda home: [scan(home, role).unlink() for role in roles] and None


def twice(home: Path) -> None:
    shutil.copytree(home / ODD, home / "again" / ODD)
    for file in (home / "again" / ODD).iterdir():
        write(file, read(file)[::-1])


def snapshot(home: Path) -> None:
    shutil.copytree(home / ODD, home / ".snapshot" / "hourly" / ODD)


def masked(home: Path) -> None:
    shutil.copy(home / ODD / f"{ODD}_seg.nii.gz", home / ODD / f"{ODD}_brain_mask_seg.nii.gz")


def bare(home: Path) -> None:
    for file in (home / ODD).iterdir():
        file.rename(file.with_name(file.name.removeprefix(f"{ODD}_").upper()))


def both_suffixes(home: Path) -> None:
    write(home / "plain.nii.gz", read(scan(home)) // 2)
    (home / "plain.nii.gz").rename(scan(home).with_suffix(""))


def copied(source: tuple[str, str], target: tuple[str, str]) -> Defect:
    """Give a role of one case the bytes of another's; each is a role and a case."""
    return lambda home: shutil.copyfile(scan(home, *source), scan(home, *target)) and None


def table(name: str, content: bytes) -> Defect:
    return lambda home: (home / name).write_bytes(content) and None


CT = b'{"modality": {"0": "CT"}, "labels": {}}'


def survival(*values: str) -> bytes:
    cases = ("Ada", "Bo", "Cy", "Odd")
    rows = [f"{case},{value},{value}" for case, value in zip(cases, values, strict=True)]
    return "\n".join(["BraTS19ID,Age,Survival", *rows]).encode()


def half_a_decathlon(home: Path) -> None:
    """Odd as a case of the Decathlon, whose one file of images is cut in half."""
    task = home / "Task01_BrainTumour"
    write(task / "imagesTr/Odd.nii.gz", np.stack([read(scan(home, role)) for role in IMAGES], axis=-1))
    write(task / "labelsTr/Odd.nii.gz", np.minimum(read(scan(home, "seg")), 3))
    images = task / "imagesTr/Odd.nii.gz"
    images.write_bytes(images.read_bytes()[:2000])
    tissues = {"1": "edema", "2": "non-enhancing tumor", "3": "enhancing tumour"}
    channels = {"0": "T1w", "1": "t1gd", "2": "T2w", "3": "FLAIR"}
    (task / "dataset.json").write_text(json.dumps({"modality": channels, "labels": tissues}))
    shutil.rmtree(home / ODD)


def linked(home: Path) -> None:
    """The file is a link to another folder."""
    scan(home).rename(home.parent / "elsewhere")
    scan(home).symlink_to(home.parent / "elsewhere")


def two_forms(home: Path) -> None:
    """ö as one character and as two."""
    named("O\u0308tzi")(home)
    write_case(home, "\u00d6tzi", seed=9)


def leftovers(home: Path) -> None:
    (home / "__MACOSX").mkdir()
    for folder in (home / ODD, home / "__MACOSX"):
        (folder / "._Odd_t2.nii.gz").write_bytes(b"no scan")


def locked(home: Path) -> None:
    scan(home).chmod(0)


def locked_folder(home: Path) -> None:
    (home / ODD).chmod(0)


def unchanged(home: Path) -> None:
    """The scans stay good."""


def emptied(home: Path) -> None:
    shutil.rmtree(home)
    home.mkdir()


def a_file(home: Path) -> None:
    shutil.rmtree(home)
    home.write_text("no folder")


def in_raw(home: Path) -> None:
    """Scans in the folder where acquire puts the cohort, with a link to it."""
    raw = home.parent / "data/raw"
    raw.parent.mkdir()
    home.rename(raw)
    home.symlink_to(raw)
    (raw / "notes.txt").write_text("mine")


TWIN = "own bytes: expected an image that is no copy of another, got a copy of "
NO_FILE = "modality: expected a file for t2, got none"
TABLE = "scans/name_mapping.csv: not a table of patients: "
DATASET = "scans/dataset.json: not a dataset.json of the Decathlon: "
NOT_FOUND = "scans: expected a folder of cases, found none"
FULL = "File too large"


FOLDERS: tuple[Kind, ...] = (
    refused("missing modality", without("t2"), NO_FILE),
    refused("no modality", without(*IMAGES), NO_FILE),
    prediction("missing segmentation", without("seg")),
    refused("folder named like a file", in_place(Path.mkdir), NO_FILE),
    refused("dangling link", in_place(lambda path: path.symlink_to("nowhere")), NO_FILE),
    refused("link to itself", in_place(lambda path: path.symlink_to(path.name)), NO_FILE),
    refused("pipe", in_place(os.mkfifo), NO_FILE),
    refused("failing disk", in_place(lambda path: path.symlink_to("/proc/self/mem")), NO_FILE),
    refused("unreadable file", locked, NO_FILE, stage="acquire", during=no_superuser),
    refused("Decathlon case cut in half", half_a_decathlon, NO_FILE),
    skipped("unreadable folder", locked_folder, "scans/Odd: skipped: not readable", during=no_superuser),
    reported("snapshot", snapshot, "scans/.snapshot: skipped: a folder of the file system"),
    reported("brain mask beside a case", masked, "Odd_brain_mask_seg.nii.gz: not read: no role; known: "),
    works("bare names in upper case", bare),
    works("link to a file", linked),
    works("link to a folder above", lambda home: (home / ODD / "up").symlink_to(home)),
    works("leftovers of macOS", leftovers),
    reported("one name in two folders", twice, "Odd: in 2 folders: the cases are called "),
    stopped("two files of one role", both_suffixes, "acquire", "Odd/t2: "),
    refused("one scan in two cases", copied(("t2", "Ada"), ("t2", ODD)), TWIN + "Ada/t2"),
    refused("one scan in two modalities", copied(("t1", ODD), ("t2", ODD)), TWIN + "Odd/t1"),
    works("one label map in two cases", copied(("seg", "Ada"), ("seg", ODD))),
    works("names that differ in capitals", named("ADA")),
    works("letters beyond ASCII", named("Österreich-脳-🧠")),
    works("name in two Unicode forms", two_forms),
    works("spaces", named("Odd case  of a tumour")),
    works("comma", named("Odd, the second")),
    works("quotes", named("Odd \"the\" 'second'")),
    works("dash in front", named("--help")),
    works("braces", named("{case}%s$HOME*")),
    works("name of 200 characters", named("x" * 200)),
    stopped("newline", named("Odd\ntwo"), "acquire", r"Odd\ntwo"),
    stopped("name in no encoding", named(os.fsdecode(b"Odd\xff")), "acquire", r"Odd\udcff"),
    stopped("table in UTF-16", table("name_mapping.csv", "Grade".encode("utf-16")), "acquire", TABLE),
    stopped("table that is a folder", lambda home: (home / "name_mapping.csv").mkdir(), "acquire", TABLE),
    works("table with holes", table("name_mapping.csv", b"Grade,BraTS19ID\nHGG\n\nLGG,Odd,more,\n,,,\n")),
    works(
        "survival that is no number", table("survival.csv", survival("ALIVE (361 days)", "", "nan", "inf"))
    ),
    stopped("dataset.json cut short", table("dataset.json", b"{"), "acquire", DATASET),
    stopped("dataset.json that holds a list", table("dataset.json", b"[]"), "acquire", DATASET),
    stopped("dataset.json of another task", table("dataset.json", CT), "acquire", "modality: expected FLAIR"),
    stopped("empty folder", emptied, "acquire", "scans: no case found among 0 files"),
    stopped("missing folder", shutil.rmtree, "inventory", NOT_FOUND),
    stopped("file in place of the folder", a_file, "inventory", NOT_FOUND),
    stopped("folder in data/raw itself", in_raw, "inventory", "data/raw"),
    stopped("disk full: copy", unchanged, "acquire", f"{FULL}: 'scans/Ada/", during=partial(full_disk, 1000)),
    stopped("disk full: measure", unchanged, "validate", FULL, during=partial(full_disk, 1000)),
    stopped("disk full: pages", unchanged, "validate", FULL, during=partial(full_disk, 6000)),
    stopped(
        "disk full: crop",
        unchanged,
        "crop",
        "data/.records/crop/",
        during=partial(full_disk, 6000),
    ),
)

"""Kinds of broken input: the defect, what may fail on the machine, and the line that must name it."""

import os
import resource
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tests.drills.cohort import ODD

Defect = Callable[[Path], None]
"""Changes the folder of scans, with three good cases and Odd."""

MachineFault = Callable[[], AbstractContextManager[None]]
"""A fault of the machine while a stage runs in its project."""


class End(StrEnum):
    """How a pipeline ends with `on_failure: quarantine`."""

    WORKS = "works"
    REPORTED = "works, with a line"
    SKIPPED = "skipped"
    REFUSED = "quarantined"
    PREDICTION = "prediction only"
    STOPPED = "stopped"


@dataclass(frozen=True)
class Kind:
    """One kind of broken input.

    `message`: the text that a line of `stage` must contain; `during`: the fault while that stage runs.
    """

    name: str
    defect: Defect
    end: End
    stage: str
    message: str
    during: MachineFault = nullcontext


def works(name: str, defect: Defect) -> Kind:
    """Unusual but valid input: all cases are processed, and the error output stays empty."""
    return Kind(name, defect, End.WORKS, "crop", "cases stored at 1 mm")


def reported(name: str, defect: Defect, message: str, *, stage: str = "acquire") -> Kind:
    """Input of which a stage says something: all cases are processed."""
    return Kind(name, defect, End.REPORTED, stage, message)


def skipped(name: str, defect: Defect, message: str, *, during: MachineFault = nullcontext) -> Kind:
    """Odd is left out with a line of acquire; the good cases are processed."""
    return Kind(name, defect, End.SKIPPED, "acquire", message, during)


def prediction(name: str, defect: Defect) -> Kind:
    """A case without labels: the others are processed."""
    return Kind(name, defect, End.PREDICTION, "validate", f"prediction only: {ODD}")


def refused(
    name: str,
    defect: Defect,
    message: str,
    *,
    role: str = "t2",
    stage: str = "validate",
    during: MachineFault = nullcontext,
) -> Kind:
    """The good cases are processed; a line names Odd and its file."""
    return Kind(name, defect, End.REFUSED, stage, f"{ODD}/{role} ({ODD}_{role}.nii.gz): {message}", during)


def stopped(
    name: str, defect: Defect, stage: str, message: str, *, during: MachineFault = nullcontext
) -> Kind:
    """The cohort is ambiguous, or the machine fails: exit code 1, and one line."""
    return Kind(name, defect, End.STOPPED, stage, message, during)


UNPRIVILEGED_USER = 65534
"""The user id of `nobody` on Linux."""


@contextmanager
def full_disk(free_bytes: int) -> Iterator[None]:
    """No file grows beyond this size: like a full disk, but at a known position."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (free_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def no_superuser() -> Iterator[None]:
    """File modes apply to root too: another user owns the project and runs the stage."""
    user = os.geteuid()
    if user == 0:
        for path in (Path(), *Path().rglob("*")):
            os.chown(path, UNPRIVILEGED_USER, UNPRIVILEGED_USER, follow_symlinks=False)
        os.seteuid(UNPRIVILEGED_USER)
    try:
        yield
    finally:
        os.seteuid(user)

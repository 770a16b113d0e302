"""What a kind of broken input is: how it comes about, and what must be said of it."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tests.drills.cohort import ODD

Spoil = Callable[[Path], None]
"""Changes the folder of scans, which holds three good cases and Odd."""

Trouble = Callable[[], AbstractContextManager[None]]
"""What is wrong with the machine while a stage runs in its project."""


class End(StrEnum):
    """How a pipeline ends that was told to quarantine."""

    WORKS = "works"
    REFUSED = "quarantined"
    PREDICTION = "prediction only"
    STOPPED = "stopped"


@dataclass(frozen=True)
class Kind:
    """One kind of broken input.

    `says` is what a line of `stage` must hold; `during` is the trouble while that stage runs.
    """

    name: str
    spoil: Spoil
    end: End
    stage: str
    says: str
    during: Trouble = nullcontext


def works(name: str, spoil: Spoil) -> Kind:
    """An oddity that is valid: all cases are processed, and the error output stays empty."""
    return Kind(name, spoil, End.WORKS, "crop", "cases stored at 1 mm")


def prediction(name: str, spoil: Spoil) -> Kind:
    """A case that has no labels: the others are processed."""
    return Kind(name, spoil, End.PREDICTION, "validate", f"prediction only: {ODD}")


def refused(
    name: str,
    spoil: Spoil,
    says: str,
    *,
    role: str = "t2",
    stage: str = "validate",
    during: Trouble = nullcontext,
) -> Kind:
    """The good cases are processed; a line names Odd and its file."""
    return Kind(name, spoil, End.REFUSED, stage, f"{ODD}/{role} ({ODD}_{role}.nii.gz): {says}", during)


def stopped(name: str, spoil: Spoil, stage: str, says: str, *, during: Trouble = nullcontext) -> Kind:
    """Nobody can tell what the cohort is, or the machine fails: exit code 1, and one line."""
    return Kind(name, spoil, End.STOPPED, stage, says, during)

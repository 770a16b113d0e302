"""What a benchmark leaves: rows of numbers, goals and whether they were reached, remarks."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from glioseg.core.files import write_atomic

Row = Mapping[str, object]


@dataclass(frozen=True)
class Goal:
    """A goal, what came of it, and whether that is enough."""

    goal: str
    measured: str
    reached: bool


@dataclass(frozen=True)
class Result:
    """One benchmark's outcome; the rows' keys are the columns of its table."""

    rows: list[Row]
    goals: list[Goal]
    remarks: list[str] = field(default_factory=list)


def save(path: Path, result: Result, *, settings: Row, machine: Row) -> None:
    """Write a result with all that it depends on."""
    record = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine,
        "settings": settings,
        **asdict(result),
    }
    write_atomic(path, json.dumps(record, indent=2).encode() + b"\n")


def done(path: Path, *, settings: Row, machine: Row) -> bool:
    """Whether a result was measured already: with these settings, on this machine and these versions."""
    if not path.exists():
        return False
    record = json.loads(path.read_text())
    return record["settings"] == settings and record["machine"] == machine


def once(path: Path, make: Callable[[], Row]) -> Row:
    """The record that a long step left, or the step itself if it has left none."""
    if not path.exists():
        write_atomic(path, json.dumps(make(), indent=2).encode() + b"\n")
    return json.loads(path.read_text())

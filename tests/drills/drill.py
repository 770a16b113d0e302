"""Run the data stages on every kind of broken input, and check how they end."""

import contextlib
import io
import logging
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO
from unittest.mock import patch

import yaml

import acquire
import crop
import inventory
import validate
from _stage import run
from tests.drills.broken_files import FILES
from tests.drills.broken_folders import FOLDERS
from tests.drills.broken_voxels import VOXELS
from tests.drills.cohort import GOOD, SHAPE, write_scans
from tests.drills.kinds import End, Kind, MachineFault
from tests.helpers.progress import PROGRESS

ROOT = Path(__file__).parents[2]
KINDS = (*FILES, *VOXELS, *FOLDERS)


@dataclass(frozen=True)
class Stage:
    """A stage, its arguments, and a file that exists only if the stage has finished."""

    main: Callable[[], None]
    arguments: Sequence[str]
    out: Path


STAGES = {
    "inventory": Stage(inventory.main, (), inventory.INVENTORY),
    "acquire": Stage(acquire.main, (), acquire.RAW / "cohort.csv"),
    "validate": Stage(validate.main, ("raw",), validate.VALIDATION / "raw.json"),
    "crop": Stage(crop.main, (), crop.CROPPED / "manifest.csv"),
}


@dataclass
class Outcome:
    """How a pipeline ended. `output`: the lines on stdout of all stages; `errors`: those on stderr."""

    stage: str = ""
    code: int = 0
    output: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    processed: set[str] = field(default_factory=set)
    left: list[str] = field(default_factory=list)
    scans_changed: bool = False


def drill(kind: Kind, project: Path, *, on_failure: str = "quarantine") -> Outcome:
    """Run the data stages on a broken cohort, in an empty folder."""
    scans, outcome = project / "scans", Outcome()
    write_scans(scans)
    kind.defect(scans)
    configure(project, on_failure)
    before = file_states(scans)
    with contextlib.chdir(project):
        for name in STAGES:
            if outcome.code == 0:
                run_stage(name, outcome, kind.during if name == kind.stage else nullcontext)
        outcome.left = half_written(outcome)
        outcome.processed = {path.parent.name for path in crop.CROPPED.glob("*/placement.json")}
    outcome.scans_changed = file_states(scans) != before
    return outcome


def configure(project: Path, on_failure: str) -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["data"] = {"source": "folder", "folder": "scans"}
    params["validate"] = {"on_failure": on_failure}
    params["compute"] = {"cluster": "threads", "workers": 1}  # processes take seconds to start
    (project / "params.yaml").write_text(yaml.safe_dump(params))
    (project / "contract.yaml").write_text(yaml.safe_dump({"shape": {"voxels": list(SHAPE)}}))


def run_stage(name: str, outcome: Outcome, fault: MachineFault) -> None:
    out, err = io.StringIO(), io.StringIO()
    outcome.stage = name
    with (
        patch.object(sys, "argv", [f"{name}.py", *STAGES[name].arguments]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        warnings.catch_warnings(action="always", category=RuntimeWarning),
        log_to(err),
    ):
        warnings.showwarning = lambda message, *_: print(f"warning: {message}", file=err)
        try:
            with fault():
                run(STAGES[name].main)
        except SystemExit as end:  # Python would print the text and exit with 1
            print(end.code, file=err)
            outcome.code = 1
        except Exception:
            traceback.print_exc(file=err)
            outcome.code = 1
    outcome.output += out.getvalue().splitlines()
    outcome.errors += err.getvalue().splitlines()


@contextlib.contextmanager
def log_to(stream: TextIO) -> Iterator[None]:
    """Write warnings and errors that libraries log, as Python does without a handler."""
    handler = logging.StreamHandler(stream)
    handler.setLevel(logging.WARNING)
    logging.root.addHandler(handler)
    try:
        yield
    finally:
        logging.root.removeHandler(handler)


def half_written(outcome: Outcome) -> list[str]:
    """Temporary files that a stage left behind, and the out of a stage that stopped."""
    aside = [
        path for part in ("data", "reports") for path in Path(part).rglob(".*") if path.name != ".records"
    ]
    out = STAGES[outcome.stage].out
    return sorted(map(str, [*aside, *([out] if outcome.code and out.exists() else [])]))


def file_states(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of everything below a folder."""
    return {str(path): (path.lstat().st_size, path.lstat().st_mtime_ns) for path in folder.rglob("*")}


def differences(kind: Kind, outcome: Outcome) -> list[str]:
    """Differences from the expected end, one line each."""
    goes_on = kind.end is not End.STOPPED
    checks = {
        "exit code": (int(not goes_on), outcome.code),
        "last stage": ("crop" if goes_on else kind.stage, outcome.stage),
        "good cases processed": (len(GOOD) if goes_on else 0, len(outcome.processed & set(GOOD))),
        "another processed": (kind.end in (End.WORKS, End.REPORTED), bool(outcome.processed - set(GOOD))),
        "message": (True, any(kind.message in line for line in outcome.output + outcome.errors)),
        "useless lines": ([], [line for line in outcome.errors if not is_useful(kind, line)]),
        "left half-written": ([], outcome.left),
        "scans changed": (False, outcome.scans_changed),
    }
    return [
        f"{what}: expected {expected}, got {got}"
        for what, (expected, got) in checks.items()
        if expected != got
    ]


def is_useful(kind: Kind, line: str) -> bool:
    """Whether a line of the error output is useful to a user: it shows progress, or names the fault."""
    if PROGRESS.fullmatch(line):
        return True
    if kind.end is End.REFUSED:
        return (line.startswith("Odd/") or "not read: " in line) and line.isprintable()
    told = (End.STOPPED, End.REPORTED, End.SKIPPED)
    return kind.end in told and kind.message in line and line.isprintable()


def main() -> int:
    """Print the line for each kind; return the number of kinds that did not end as expected."""
    failed = 0
    for kind in KINDS:
        with tempfile.TemporaryDirectory() as project:
            outcome = drill(kind, Path(project))
        wrong = differences(kind, outcome)
        failed += bool(wrong)
        shown = next((line for line in outcome.errors + outcome.output if kind.message in line), "")
        good = len(outcome.processed & set(GOOD))
        print(f"{kind.name:31}{kind.stage:10}{kind.end:16}{outcome.code:2}{good:3}/{len(GOOD)}  {shown}")
        for line in wrong:
            print(f"{'':32}{line}")
    return failed

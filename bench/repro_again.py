"""Benchmark: `dvc repro` of the whole pipeline over a full-sized cohort of small cases, nothing changed."""

import re
import shutil
import subprocess
import time
from pathlib import Path
from statistics import median

import yaml

from bench.options import Options
from bench.project import Project
from bench.results import Goal, Result
from bench.worker import WorkerError
from tests.helpers.projects import make_project

TITLE = "`dvc repro` where nothing changed"
USES = ()
CASES, SMOKE_CASES, RUNS, SMOKE_RUNS = 1251, 8, 5, 2
GOAL_S = 5.0
TRACKED = ("data/raw", "data/cropped")
QUICK = {
    "split": {"test_fraction": 0.01, "validation_fraction": 0.01},
    "train": {"epochs": 1, "steps_per_epoch": 1},
    "tune": {"trials": 0},
}
"""Beside what the project of the tests has: the number of files counts here, not what is learned."""


def run(options: Options) -> Result:
    """Reproduce once, untimed, then again and again."""
    cases, runs = (SMOKE_CASES, SMOKE_RUNS) if options.smoke else (CASES, RUNS)
    project = _project(options, cases)
    first_s = project.run("dvc", "repro")
    again = [_again(project) for _ in range(runs)]
    seconds = [taken_s for taken_s, _ in again]
    row = {
        "cases": cases,
        "files": sum(_files(project.folder / name) for name in TRACKED),
        "median s": median(seconds),
        "fastest s": min(seconds),
        "slowest s": max(seconds),
        "runs": runs,
        "stages that ran": again[-1][1],
        "first run s": first_s,
    }
    reached = median(seconds) <= GOAL_S
    return Result(
        [row],
        [Goal(f"{cases} cases: ≤ {GOAL_S:g} s", f"{median(seconds):.1f} s", reached)],
        [f"Files: those of {' and '.join(TRACKED)}, which DVC looks at."],
    )


def _project(options: Options, cases: int) -> Project:
    """The tiny project of the tests, with more cases and less to learn."""
    home = options.work / "repro_again"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    make_project(home, cases=cases)
    params = yaml.safe_load((home / "params.yaml").read_text())
    for section, values in QUICK.items():
        params[section] |= values
    (home / "params.yaml").write_text(yaml.safe_dump(params))
    return Project(home, options.log("stages"))


def _again(project: Project) -> tuple[float, str]:
    """Seconds, and the stages that ran: those that DVC is told to run always."""
    begun = time.perf_counter()
    done = subprocess.run(
        ["dvc", "repro"], cwd=project.folder, env=project.environment, capture_output=True, text=True
    )
    taken_s = time.perf_counter() - begun
    if done.returncode:
        raise WorkerError(f"dvc repro: exit code {done.returncode}: {done.stderr}")
    return taken_s, ", ".join(re.findall(r"^Running stage '(\w+)'", done.stdout, re.MULTILINE))


def _files(folder: Path) -> int:
    return sum(path.is_file() for path in folder.rglob("*"))

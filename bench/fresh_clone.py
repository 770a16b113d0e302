"""Benchmark: what a new user waits for: `make repro` in a fresh clone, and `glioseg predict` on one case."""

import os
import shutil
import subprocess
from pathlib import Path
from statistics import median

from bench.machine import AVX2
from bench.options import HERE, Options
from bench.project import run_command
from bench.results import Goal, Result, Row

TITLE = "From a fresh clone: `make repro`, and one case"
USES = ("real",)
REPRO_MIN, CASE_S, RUNS = 20, 25, 3


def run(options: Options) -> Result:
    """Clone, reproduce once, and segment a case with the built-in model, mirror images included."""
    home = options.work / "fresh_clone"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    clone, environment = home / "glioseg", _bare(home)
    subprocess.run(["git", "clone", "--quiet", HERE.parent, clone], check=True)
    log = options.log("fresh_clone")
    target = [".venv/.ready"] if options.smoke else ["repro"]
    repro_s = run_command(["make", *target], log=log, cwd=clone, env=environment)
    row = {"make repro min": repro_s / 60} | _predict(options, clone, environment, log=log)
    goals = [
        Goal(
            f"`make repro`, install included: ≤ {REPRO_MIN} minutes",
            f"{repro_s / 60:.1f} minutes",
            repro_s <= 60 * REPRO_MIN,
        ),
        Goal(
            f"one case, start-up and mirror images included: ≤ {CASE_S} s",
            f"{row['predict s']:.1f} s",
            row["predict s"] <= CASE_S,
        ),
    ]
    return Result(
        [row],
        goals,
        [f"predict: median of {RUNS} runs of the command with the built-in model; each starts a process."],
    )


def _bare(home: Path) -> dict[str, str]:
    """As `env -i` leaves it, but for where the commands are, and the limit to AVX2 if there is one."""
    limit = {name: value for name, value in os.environ.items() if name in AVX2}
    return {"HOME": str(home), "PATH": os.environ["PATH"]} | limit


def _predict(options: Options, clone: Path, environment: dict[str, str], *, log: Path) -> Row:
    """Seconds for one case: a real one if there is one, or else a phantom of the clone."""
    raw = options.real or clone / "data/raw"
    case = min(folder for folder in raw.iterdir() if folder.is_dir())
    seconds = []
    for _ in range(RUNS):
        words = [".venv/bin/glioseg", "predict", case, "--model", "builtin", "--mirror", "-o", "seg.nii.gz"]
        seconds.append(run_command(words, log=log, cwd=clone, env=environment))
    return {"case": case.name, "predict s": median(seconds), "slowest s": max(seconds)}

"""Benchmark: whether the memory that validate and crop hold grows with the number of cases."""

import time
from collections.abc import Sequence
from contextlib import suppress
from statistics import median

import psutil

from bench.cohort import many
from bench.options import Options
from bench.project import CROP, VALIDATE, Project, check
from bench.results import Goal, Result, Row
from glioseg.data.cohort.cases import Case

TITLE = "Memory of preparing a cohort"
USES = ()
MANY, FEW, ROUNDS = 64, 8, 3
SMOKE_MANY, SMOKE_FEW = 4, 2
GOAL, EVERY_S = 1.1, 0.05


def run(options: Options) -> Result:
    """Prepare few cases and many, from nothing, in turn."""
    count, few = (SMOKE_MANY, SMOKE_FEW) if options.smoke else (MANY, FEW)
    cases = sorted(many(options)[:count], key=_size)
    project = Project.make(options.work / "prepare_memory", log=options.log("stages"))
    rounds = [
        (_peaks(project, cases[-few:]), _peaks(project, cases)) for _ in range(1 if options.smoke else ROUNDS)
    ]
    rows = [
        _row(number, taken) for number, taken in zip((few, count), zip(*rounds, strict=True), strict=True)
    ]
    growth = median(max(more) / max(less) for less, more in rounds)
    return Result(
        rows,
        [Goal(f"{count} cases ≤ {GOAL}× the memory of {few}", f"{growth:.2f}×", growth <= GOAL)],
        [
            "Peak of the stage's process and its workers together (PSS: what processes share counts once),"
            f" looked at every {1000 * EVERY_S:g} ms.",
            f"The {few} are the largest of the {count}, which come last among them: they alone decide"
            " how much a case needs, and what grew until then adds to it.",
        ],
    )


def _size(case: Case) -> int:
    """Bytes of a case's files, which grow with the brain."""
    return sum(file.stat().st_size for file in case.files.values())


def _peaks(project: Project, cases: Sequence[Case]) -> tuple[float, float]:
    """GB that each stage held at most."""
    project.give(cases)
    project.forget()
    return _peak_gb(project, *VALIDATE), _peak_gb(project, *CROP)


def _peak_gb(project: Project, *words: str) -> float:
    process, peak = project.start(*words), 0
    while process.poll() is None:
        peak = max(peak, _tree_bytes(process.pid))
        time.sleep(EVERY_S)
    check(process, log=project.log)
    return peak / 1e9


def _tree_bytes(pid: int) -> int:
    """What a process and all that it started hold; one that ends meanwhile holds nothing."""
    total = 0
    with suppress(psutil.Error):
        parent = psutil.Process(pid)
        for process in [parent, *parent.children(recursive=True)]:
            with suppress(psutil.Error):
                total += process.memory_full_info().pss
    return total


def _row(cases: int, taken: Sequence[tuple[float, float]]) -> Row:
    validate_gb, crop_gb = (median(peaks) for peaks in zip(*taken, strict=True))
    return {"cases": cases, "validate GB": validate_gb, "crop GB": crop_gb, "runs": len(taken)}

"""Benchmark: from raw scans to what training reads, beside nnU-Net v2 and beside the least work there is."""

import os
import shutil
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import median

import blosc2
from isal import igzip

from bench.cohort import prepare
from bench.machine import CORES, PEER_BIN
from bench.nnunet_data import NUMBER, write_dataset
from bench.options import Options
from bench.project import Project, run_command
from bench.results import Goal, Result, Row
from glioseg.compute import LOCAL
from glioseg.data.cohort.cases import COHORT, Case, read_cohort
from glioseg.data.cohort.layouts import find_cases
from glioseg.data.store.cropped_cases import StoredCase
from glioseg.data.store.cropped_store import write_array

TITLE = "Preparing a cohort: nnU-Net v2, and the floor"
USES = ("real",)
CASES, SMOKE_CASES = 16, 3
PEER_ROUNDS, FLOOR_ROUNDS = 2, 4
FASTER, ABOVE_FLOOR = 10.0, 2.0

Stages = tuple[float, float]
"""Seconds of the two commands of one side: look at all cases, then write them for training."""


def run(options: Options) -> Result:
    """Prepare the same cases with two worker processes on each side, each time from nothing."""
    cases, work = _cases(options), options.work / "prepare_cases"
    ours = Project.make(work / "glioseg", log=options.log("stages"))
    _ours(ours, cases)  # compiles Python's files, and brings the scans into the system's cache
    pairs = [
        (_ours(ours, cases), _nnunet(work / "nnunet", cases, options))
        for _ in range(1 if options.smoke else PEER_ROUNDS)
    ]
    first = cases[:CORES]
    first_peer_s = _nnunet(work / "nnunet", first, options)
    taken = [
        (_ours(ours, first), _ours(ours, cases), _floor(ours.folder, work / "floor"))
        for _ in range(1 if options.smoke else FLOOR_ROUNDS)
    ]
    shutil.rmtree(work / "floor")
    further = len(cases) - CORES
    ours_s = [(sum(whole) - sum(few)) / further for few, whole, _ in taken]
    floor_s = [floor for *_, floor in taken]
    rows = [
        _row("glioseg: validate, crop", [one for one, _ in pairs], len(cases)),
        _row("nnU-Net v2: fingerprint, preprocess", [other for _, other in pairs], len(cases)),
        {"prepared": "floor: inflate, write"},
    ]
    peer_s = (rows[1]["s"] - sum(first_peer_s)) / further
    for row, seconds in zip(rows, (median(ours_s), peer_s, median(floor_s)), strict=True):
        row["s a further case"] = seconds
    return Result(rows, _goals(pairs, ours_s, floor_s), _remarks(cases, rows))


def _cases(options: Options) -> list[Case]:
    """Phantoms, and the real cases that have labels: nnU-Net cannot prepare others."""
    phantoms = list(prepare(options).cases.values())[: SMOKE_CASES if options.smoke else CASES]
    real = find_cases(options.real) if options.real and not options.smoke else []
    return phantoms + [case for case in real if case.labelled]


def _ours(project: Project, cases: Sequence[Case]) -> Stages:
    project.give(cases)
    project.forget()
    return project.prepare()


def _nnunet(work: Path, cases: Sequence[Case], options: Options) -> Stages:
    """Its three commands on a new dataset; planning is not in the time."""
    shutil.rmtree(work, ignore_errors=True)
    write_dataset(work / "raw", cases)
    folders = {f"nnUNet_{name}": str(work / name) for name in ("raw", "preprocessed", "results")}
    run = partial(run_command, log=options.log("nnunet_prepare"), cwd=work, env=os.environ | folders)
    dataset, processes = ["-d", NUMBER], ["-np", str(CORES)]
    fingerprint_s = run([PEER_BIN / "nnUNetv2_extract_fingerprint", *dataset, *processes])
    run([PEER_BIN / "nnUNetv2_plan_experiment", *dataset])
    preprocess = [PEER_BIN / "nnUNetv2_preprocess", *dataset, "-c", "3d_fullres", *processes]
    return fingerprint_s, run(preprocess)


def _floor(project: Path, aside: Path) -> float:
    """Seconds a case: two workers side by side, each of which does nothing but what nobody can leave out."""
    shutil.rmtree(aside, ignore_errors=True)
    work = partial(_inflate_and_write, project / "data/cropped", aside)
    return median(LOCAL.map(work, read_cohort(project / "data/raw" / COHORT), title="floor")) / CORES


def _inflate_and_write(store: Path, aside: Path, case: Case) -> float:
    """Seconds for the five files of a case and the arrays that its store holds, which lie in memory."""
    stored = sorted(StoredCase(store / case.case).folder.glob("*.b2nd"))
    arrays = {file.name: blosc2.open(str(file), mode="r")[:] for file in stored}
    (aside / case.case).mkdir(parents=True)
    begun = time.perf_counter()
    for file in case.files.values():
        igzip.decompress(file.read_bytes())
    for name, array in arrays.items():
        write_array(aside / case.case / name, array)
    return time.perf_counter() - begun


def _row(name: str, taken: Sequence[Stages], cases: int) -> dict[str, object]:
    first_s, second_s = (median(seconds) for seconds in zip(*taken, strict=True))
    whole_s = first_s + second_s
    return {
        "prepared": name,
        "cases": cases,
        "first stage s": first_s,
        "second stage s": second_s,
        "s": whole_s,
        "s a case": whole_s / cases,
    }


def _goals(
    pairs: Sequence[tuple[Stages, Stages]], ours_s: Sequence[float], floor_s: Sequence[float]
) -> list[Goal]:
    faster = median(sum(other) / sum(one) for one, other in pairs)
    above = median(one / floor for one, floor in zip(ours_s, floor_s, strict=True))
    return [
        Goal(f"≥ {FASTER:g}× faster than nnU-Net v2, start-up included", f"{faster:.1f}×", faster >= FASTER),
        Goal(f"a further case ≤ {ABOVE_FLOOR:g}× the floor", f"{above:.2f}×", 0 < above <= ABOVE_FLOOR),
    ]


def _remarks(cases: Sequence[Case], rows: Sequence[Row]) -> list[str]:
    phantoms = sum(case.source.startswith("phantom") for case in cases)
    ours, peer, _ = (row["s a further case"] for row in rows)
    return [
        f"{phantoms} phantoms and {len(cases) - phantoms} real cases; two worker processes on each side.",
        f"A further case: the time of all cases less that of {CORES} (one a worker), divided by the others:"
        f" what neither starting Python nor importing is in. So glioseg is {peer / ours:.1f}× faster.",
        "Floor: the five files inflated with isal, and the arrays that the store holds written with the"
        " store's own writer, in two workers side by side; the arrays lie in memory before.",
    ]

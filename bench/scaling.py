"""Benchmark: crop and predict over a Dask cluster, with one worker and two, and the scheduler alone."""

import json
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from statistics import median

from bench.cohort import copies, prepare
from bench.dask_hosts import Hosts, dask_hosts
from bench.one_and_two import WORKERS, Pairs, Run, fitted, goals_of, rows_of
from bench.options import Options
from bench.project import CROP, Project, run_command
from bench.results import Result, Row
from bench.worker import QUIET, Worker
from glioseg.compute import CLUSTER_VARIABLE
from glioseg.core.modalities import MODALITIES, SEGMENTATION
from glioseg.data.cohort.cases import COHORT, Case, read_cohort
from glioseg.data.cohort.layouts import find_cases

TITLE = "Two workers beside one, and what a cluster costs"
USES = ("real",)
PREDICT = (sys.executable, "-c", "from glioseg.cli import app; app()", "predict", "data/raw")
VALIDATION = "reports/validation/raw.json"
READ = """
from pathlib import Path
from glioseg.compute import Cluster
from glioseg.data.cohort.cases import read_cohort
from glioseg.data.cohort.case_cache import digest_cases
cases = read_cohort(Path("data/raw/cohort.csv"))
digest_cases(cases, records=Path("data/.records"), cluster=Cluster("threads"))
"""
"""What validate leaves to crop beside its report: the files' digests."""


@dataclass(frozen=True)
class Size:
    """How many cases, how often each number of them is timed, and how many tasks do nothing."""

    scans: int
    rounds: Mapping[int, int]
    tasks: int


FULL, SMOKE = Size(16, {8: 3, 32: 2, 128: 1}, 100_000), Size(2, {2: 1, 4: 1}, 1_000)


def run(options: Options) -> Result:
    """Time both commands on clusters of one and of two workers in turn; then send tasks that do nothing."""
    size, work = SMOKE if options.smoke else FULL, options.work / "scaling"
    project = Project.make(work / "project", log=options.log("stages"))
    cases = copies(list(prepare(options).cases.values())[: size.scans], max(size.rounds), work / "labels")
    _make_model(project.folder / "model", options)
    with ExitStack() as stack:
        hosts = [stack.enter_context(_hosts(count, project, options)) for count in WORKERS]
        taken = {
            name: _time(each, project, cases, size, hosts)
            for name, each in {"crop": _crop, "predict": _predict}.items()
        }
    nothing = _nothing(size.tasks, project, options)
    rows = [row for name, pairs in taken.items() for row in rows_of(name, pairs)]
    rows += [fitted(name, pairs) for name, pairs in taken.items()]
    rows += [nothing, _bytes("phantoms", prepare(options).cases.values(), project)]
    if options.real:
        rows.append(_bytes("real cases", find_cases(options.real)))
    return Result(rows, goals_of(taken), _remarks(size))


def _make_model(folder: Path, options: Options) -> None:
    with Worker("ours_predict.py", log=options.log("ours_predict")) as worker:
        worker.ask("make", out=folder, changes={"inference": {"mirror": False}})


def _hosts(count: int, project: Project, options: Options):
    env = project.environment | {"CUDA_VISIBLE_DEVICES": ""}
    return dask_hosts(count, cwd=project.folder, env=env, log=options.log("dask"))


def _time(
    work: Callable[[Project, Hosts], Run],
    project: Project,
    cases: Sequence[Case],
    size: Size,
    hosts: Sequence[Hosts],
) -> Pairs:
    """Time a command with one worker and with two; a first round, which warms workers up, does not count."""
    taken = {}
    for count, rounds in size.rounds.items():
        project.give(cases[:count])
        _accept(project)
        warm = not taken
        pairs = [tuple(work(project, each) for each in hosts) for _ in range(rounds + warm)]
        taken[count] = pairs[warm:]
    return taken


def _accept(project: Project) -> None:
    """Leave what validate would of sound cases."""
    cases = read_cohort(project.folder / "data/raw" / COHORT)
    report = {"cases": {case.case: {"status": "accepted"} for case in cases}}
    (project.folder / VALIDATION).parent.mkdir(parents=True, exist_ok=True)
    (project.folder / VALIDATION).write_text(json.dumps(report))
    project.run("python", "-c", READ)


def _crop(project: Project, hosts: Hosts) -> Run:
    for name in ("data/cropped", "data/.records/crop"):
        shutil.rmtree(project.folder / name, ignore_errors=True)
    return _command(project, CROP, hosts)


def _predict(project: Project, hosts: Hosts) -> Run:
    shutil.rmtree(project.folder / "answers", ignore_errors=True)
    return _command(project, (*PREDICT, "-o", "answers", "--model", "model"), hosts)


def _command(project: Project, words: Sequence[str], hosts: Hosts) -> Run:
    env = project.environment | QUIET | {CLUSTER_VARIABLE: hosts.address}
    before = _used_s()
    seconds = run_command(words, log=project.log, cwd=project.folder, env=env)
    return Run(seconds, _used_s() - before)


def _used_s() -> float:
    """Seconds of a processor that commands which have ended used."""
    used = getrusage(RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _nothing(tasks: int, project: Project, options: Options) -> Row:
    """What the scheduler and its client cost where workers have nothing to do."""
    with _hosts(max(WORKERS), project, options) as hosts:
        with Worker("ours_tasks.py", log=options.log("ours_tasks")) as worker:
            before = hosts.scheduler_s
            taken = worker.ask("send", address=hosts.address, tasks=tasks)
            client_gb = worker.ask("peak_gb")
        return {
            "what": "tasks that do nothing",
            "tasks": tasks,
            "tasks/s": tasks / taken["seconds"],
            "scheduler ms a task": 1000 * (hosts.scheduler_s - before) / tasks,
            "command ms a task": 1000 * taken["used_s"] / tasks,
            "scheduler GB": hosts.scheduler_gb,
            "command GB": client_gb,
        }


def _bytes(name: str, cases: Sequence[Case], project: Project | None = None) -> Row:
    """Bytes of a case: what is read of it, and what crop and predict write."""

    def mb(files: Sequence[Path]) -> float:
        return sum(file.stat().st_size for file in files) / 1e6

    row = {
        "what": f"MB a case: {name}",
        "images MB": median(mb([c.files[m] for m in MODALITIES if m in c.files]) for c in cases),
    }
    if project:
        row["label MB"] = median(mb([case.files[SEGMENTATION]]) for case in cases)
        stored = [path for path in (project.folder / "data/cropped").iterdir() if path.is_dir()]
        row["store MB"] = median(mb(list(folder.iterdir())) for folder in stored)
        row["answer MB"] = median(mb([file]) for file in (project.folder / "answers").glob("*.nii.gz"))
    return row


def _remarks(size: Size) -> list[str]:
    return [
        f"Whole commands, start-up included, on {size.scans} scans under as many names as there are cases."
        " Workers have one thread each, and have loaded their model before. Predict: the network of"
        " params.yaml without mirror images.",
        "Fit: seconds = serial + cases × (case / workers + overhead). Both workers share this machine's two"
        " cores with the scheduler and the command: what they take from each other is in the overhead."
        " The command's seconds, and the scheduler's, are those of a processor that it uses itself.",
    ]

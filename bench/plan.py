"""docs/scale.md: what the figures of `scaling` and `shared_load` say of larger cohorts.

`python -m bench.plan` fills the page's tables from bench/results.
"""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.options import HERE
from bench.report import table
from bench.results import Row
from bench.shared_load import EPOCHS

PAGE, RESULTS = HERE.parent / "docs/scale.md", HERE / "results"
WORKERS = (1, 8, 64)
RUNS = (("crop", 1_251), ("predict", 1_251), ("predict", 100_000))
NETWORKS = {"1 Gbit/s": 110.0, "10 Gbit/s": 1_100.0}
"""Storage behind a network, by its MB/s: nine tenths of what the cable carries."""
FAST = "10 Gbit/s"
TRIALS, TRIAL_S, CONNECTIONS = 1_000, 600, 5
"""A study, the seconds of a trial, and the connections to PostgreSQL that a worker opens at most."""
SYSTEM_S, CALLS = 10, EPOCHS + 4
"""How often MLflow logs what a trial does to its machine, and the calls of a trial in `shared_load`."""
PARTS = ("scheduler", "command", *NETWORKS)


@dataclass(frozen=True)
class Job:
    """What a case costs: of a worker, of the command that hands out the cases, and of the storage."""

    serial_s: float
    worker_s: float
    command_s: float
    mb: float


@dataclass(frozen=True)
class Figures:
    """What was measured: the jobs, what a task costs the scheduler, and what the database bore."""

    jobs: Mapping[str, Job]
    task_s: float
    trials_per_s: float
    transactions_a_trial: float
    transactions_per_s: float

    def part_s(self, name: str) -> dict[str, float]:
        """Seconds that a case keeps each part busy which all workers share."""
        job = self.jobs[name]
        carried = {network: job.mb / speed for network, speed in NETWORKS.items()}
        return {"scheduler": self.task_s, "command": job.command_s} | carried

    def full_at(self, name: str) -> dict[str, float]:
        """The number of workers with which each part has no rest any more."""
        return {part: self.jobs[name].worker_s / busy_s for part, busy_s in self.part_s(name).items()}

    def run_s(self, name: str, cases: int, workers: int) -> float:
        """Seconds of a run where storage is fast: of two that work at the same time, the slower counts."""
        job, shared = self.jobs[name], self.part_s(name)
        slowest = max(job.worker_s / workers, shared["scheduler"], shared["command"], shared[FAST])
        return job.serial_s + cases * slowest


def figures(results: Path) -> Figures:
    """Read what was measured.

    Raises:
        OSError: something was not.
    """
    scaling, load = (_rows(results / f"{name}.json") for name in ("scaling", "shared_load"))
    size = scaling["MB a case: phantoms"]
    mb = {
        "crop": size["images MB"] + size["label MB"] + size["store MB"],
        "predict": size["images MB"] + size["answer MB"],
    }
    nothing = scaling["tasks that do nothing"]
    mlflow, optuna = (row for row in load.values() if "transactions a trial" in row)
    return Figures(
        {name: _job(scaling[f"{name}: fit"], nothing, mb[name]) for name in mb},
        task_s=nothing["scheduler ms a task"] / 1000,
        trials_per_s=optuna["trials/s"],
        transactions_a_trial=mlflow["transactions a trial"] * (1 + TRIAL_S / SYSTEM_S / CALLS)
        + optuna["transactions a trial"],
        transactions_per_s=load["PostgreSQL"]["transactions/s"],
    )


def _rows(path: Path) -> dict[str, Row]:
    """A result's rows by what they are about; of several, the last."""
    return {row["what"]: row for row in json.loads(path.read_text())["rows"]}


def _job(fitted: Row, nothing: Row, mb: float) -> Job:
    """The command takes at least what it takes for a task that does nothing."""
    command_s = max(fitted["command s a case"], nothing["command ms a task"] / 1000)
    return Job(fitted["serial s"], fitted["case s beside another"], command_s, mb)


def tables(known: Figures) -> dict[str, list[Row]]:
    """The page's tables by name."""
    return {
        "costs": [_costs(name, job) for name, job in known.jobs.items()],
        "runs": [_run(known, name, cases) for name, cases in RUNS],
        "full": [_full(known, name) for name in known.jobs],
        "study": [_study(known, workers) for workers in WORKERS],
    }


def _costs(name: str, job: Job) -> Row:
    return {
        "work": name,
        "start and end": duration(job.serial_s),
        "a case, of a worker": duration(job.worker_s),
        "a case, of the command": duration(job.command_s),
        "MB a case": job.mb,
    }


def _run(known: Figures, name: str, cases: int) -> Row:
    times = {f"{count} workers": duration(known.run_s(name, cases, count)) for count in WORKERS}
    return {"work": name, "cases": f"{cases:,}", **times}


def _full(known: Figures, name: str) -> Row:
    full = known.full_at(name)
    return {"work": name, **{part: round(full[part]) for part in PARTS}, "first": min(full, key=full.get)}


def _study(known: Figures, workers: int) -> Row:
    begun = workers / TRIAL_S
    return {
        "workers": workers,
        "the study": duration(TRIALS * TRIAL_S / workers),
        "trials/s": begun,
        "of what one study bore %": 100 * begun / known.trials_per_s,
        "transactions/s": begun * known.transactions_a_trial,
        "of what the database bore %": 100 * begun * known.transactions_a_trial / known.transactions_per_s,
        "connections": CONNECTIONS * workers,
    }


def duration(seconds: float) -> str:
    """Seconds as a person says them.

    >>> duration(0.0123), duration(42), duration(300), duration(7200), duration(2e6)
    ('12.3 ms', '42 s', '5 min', '2 h', '23.1 days')
    """
    for unit, size, limit in (("ms", 0.001, 1), ("s", 1, 120), ("min", 60, 7200), ("h", 3600, 172_800)):
        if seconds < limit:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 86_400:.3g} days"


def fill(text: str, contents: Mapping[str, Sequence[Row]]) -> str:
    """Put tables between the page's marks `<!-- name -->` and `<!-- end -->`.

    Raises:
        ValueError: a table has no place.
    """
    for name, rows in contents.items():
        lines = "\n".join(["", *table(rows), ""])
        text, found = re.subn(
            rf"(<!-- {name} -->\n).*?(<!-- end -->)", rf"\g<1>{lines}\n\g<2>", text, flags=re.DOTALL
        )
        if not found:
            raise ValueError(f"expected a place for {name}, got none")
    return text


if __name__ == "__main__":
    try:
        PAGE.write_text(fill(PAGE.read_text(), tables(figures(RESULTS))))
    except (OSError, ValueError) as error:
        sys.exit(f"bench.plan: {error}")

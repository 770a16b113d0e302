"""Benchmark: many processes on one MLflow server and many workers on one study, in one PostgreSQL."""

import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
import sqlalchemy as sa

from bench.database import connections, counted
from bench.options import Options
from bench.results import Goal, Result, Row
from bench.worker import Worker, WorkerError
from glioseg.mlops.tracking.storage import ProjectStorage
from tests.helpers.postgres import postgres, programs
from tests.helpers.servers import free_port, server

TITLE = "The shared parts under load: one MLflow server, one study, one PostgreSQL"
USES = ()
EPOCHS, EPOCH_S = 10, 0.1
CONNECTIONS = "200"
"""PostgreSQL allows 100 by itself, which is about what the two sides need: see docs/scale.md."""
PERCENTILES = {"median ms": 50, "95 % ms": 95, "99 % ms": 99, "slowest ms": 100}
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true"}

IN_DATABASE = {
    "runs": "mlflow.runs WHERE name <> 'a study'",
    "ended": "mlflow.runs WHERE status = 'FINISHED'",
    "metrics": "mlflow.metrics",
    "params": "mlflow.params",
    "trials": "optuna.trials",
    "complete": "optuna.trials WHERE state = 'COMPLETE'",
    "pruned": "optuna.trials WHERE state = 'PRUNED'",
    "reports": "optuna.trial_intermediate_values",
}
"""Where that lies which the processes count."""


@dataclass(frozen=True)
class Size:
    """How many processes on each side, how long they work together, and how long one worked alone before."""

    processes: int
    seconds: float
    alone_s: float


FULL, SMOKE = Size(16, 300.0, 20.0), Size(3, 10.0, 4.0)


@dataclass(frozen=True)
class Side:
    """Processes of one kind, what they are asked for, and what they have counted so far.

    `unit` is the name of what counts as a trial.
    """

    workers: Sequence[Worker]
    unit: str
    call: str
    given: Mapping[str, object]
    counts: Counter[str] = field(default_factory=Counter)

    def work(self, seconds: float, *, processes: int) -> list[Mapping[str, object]]:
        """Let the first few work at the same time; what each replied."""

        def ask(worker: Worker) -> Mapping[str, object]:
            return worker.ask(self.call, seconds=seconds, **self.given)

        with ThreadPoolExecutor(processes) as pool:
            replies = list(pool.map(ask, self.workers[:processes]))
        for reply in replies:
            self.counts.update(reply["counts"])
        return replies


def run(options: Options) -> Result:
    """One process of each kind alone, then all of them together."""
    size = SMOKE if options.smoke else FULL
    with _sides(options, size) as (storage, sides):
        engine = sa.create_engine(storage.tracking_uri, isolation_level="AUTOCOMMIT")
        alone = [_transactions_a_trial(side, engine, size) for side in sides]
        before = [Counter(side.counts) for side in sides]
        with connections(engine) as seen, counted(engine) as grown, ThreadPoolExecutor(len(sides)) as pool:
            together = pool.map(lambda side: side.work(size.seconds, processes=size.processes), sides)
            replies = list(chain.from_iterable(together))
        told = sum((side.counts for side in sides), Counter())
        lost = _lost(engine, told)
    trials = [side.counts[side.unit] - count[side.unit] for side, count in zip(sides, before, strict=True)]
    rows = [
        *_sides_rows(size, trials, alone),
        {
            "what": "PostgreSQL",
            "transactions/s": (grown["commits"] + grown["rollbacks"]) / size.seconds,
            "connections": max(seen),
        },
        *_latencies(replies),
    ]
    return Result(rows, _goals(size, told, lost, grown), _remarks(size, told))


@contextmanager
def _sides(options: Options, size: Size) -> Iterator[tuple[ProjectStorage, list[Side]]]:
    """A new database with a server and a study on it, and the processes, ready to begin."""
    bins, home = programs(), (options.work / "shared_load").resolve()
    if bins is None:
        raise WorkerError("shared_load: no PostgreSQL: apt-get install postgresql")
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    with ExitStack() as stack:
        storage = ProjectStorage(home, stack.enter_context(postgres(bins, max_connections=CONNECTIONS)))
        shared = _prepare(storage)
        uri = stack.enter_context(_mlflow_server(storage))

        def start(script: str) -> list[Worker]:
            log = options.log(script.removesuffix(".py"))
            workers = [Worker(script, log=log, environment=QUIET) for _ in range(size.processes)]
            return [stack.enter_context(worker) for worker in workers]

        logging, searching = start("ours_log.py"), start("ours_trials.py")
        for worker in logging:
            worker.ask("connect", uri=uri, **shared)
        for worker in searching:
            worker.ask("enter", root=storage.root, url=storage.database_url, name="a study", epochs=EPOCHS)
        yield (
            storage,
            [
                Side(logging, "runs", "log", {"epochs": EPOCHS}),
                Side(searching, "trials", "work", {"epoch_s": EPOCH_S}),
            ],
        )


def _prepare(storage: ProjectStorage) -> dict[str, str]:
    """Make MLflow's tables, and the run that all trials log to beside their own."""
    from glioseg.mlops.tracking.mlflow_runs import connect, experiment_id

    client = connect(storage)
    experiment = experiment_id(client, "tune")
    return {"experiment": experiment, "parent": client.create_run(experiment, run_name="a study").info.run_id}


@contextmanager
def _mlflow_server(storage: ProjectStorage) -> Iterator[str]:
    """MLflow's server with default settings, on the project's database."""
    port = free_port()
    words = ["mlflow", "server", "--backend-store-uri", storage.tracking_uri, "--port", str(port)]
    words += ["--artifacts-destination", str(storage.folder / "artifacts")]
    with server(words, port=port, ready="health", **QUIET) as address:
        yield address


def _transactions_a_trial(side: Side, engine: sa.Engine, size: Size) -> float:
    """What a trial costs the database while one process works alone."""
    with counted(engine) as grown:
        (reply,) = side.work(size.alone_s, processes=1)
    return (grown["commits"] + grown["rollbacks"]) / reply["counts"][side.unit]


def _lost(engine: sa.Engine, told: Counter[str]) -> dict[str, int]:
    """What was counted and is not in the database; below 0, what is there and nobody counted."""
    with engine.connect() as connection:
        return {
            name: told[name] - connection.scalar(sa.text(f"SELECT count(*) FROM {where}"))
            for name, where in IN_DATABASE.items()
        }


def _sides_rows(size: Size, trials: Sequence[int], alone: Sequence[float]) -> list[Row]:
    names = ("MLflow: processes on one server", "Optuna: workers on one study")
    return [
        {
            "what": name,
            "processes": size.processes,
            "s": size.seconds,
            "trials": count,
            "trials/s": count / size.seconds,
            "transactions a trial": transactions,
        }
        for name, count, transactions in zip(names, trials, alone, strict=True)
    ]


def _latencies(replies: Sequence[Mapping[str, object]]) -> list[Row]:
    taken: dict[str, list[float]] = {}
    for reply in replies:
        for name, ms in reply["ms"].items():
            taken.setdefault(name, []).extend(ms)
    return [
        {"what": name, "calls": len(ms)}
        | {column: float(np.percentile(ms, part)) for column, part in PERCENTILES.items()}
        for name, ms in taken.items()
    ]


def _goals(size: Size, told: Counter[str], lost: Mapping[str, int], grown: Mapping[str, int]) -> list[Goal]:
    wrong = {name: count for name, count in lost.items() if count}
    said = ", ".join(f"{count} {name}" for name, count in wrong.items()) or "nothing lost"
    return [
        Goal(f"{size.processes} and {size.processes} processes: nothing is lost", said, not wrong),
        Goal("no deadlock", f"{grown['deadlocks']} deadlocks", not grown["deadlocks"]),
        Goal("no call fails", f"{told['errors']} failed", not told["errors"]),
    ]


def _remarks(size: Size, told: Counter[str]) -> list[str]:
    counts = ", ".join(f"{told[name]} {name}" for name in IN_DATABASE)
    return [
        f"Counted by the processes, and found in the database: {counts}.",
        f"Each MLflow process logs trials without a pause: a run, its settings, {EPOCHS} epochs, a number to"
        " the one run that all share, its end. Each Optuna worker takes a trial of params.yaml's space,"
        f" sleeps {EPOCH_S:g} s for each of {EPOCHS} epochs, reports it, and may be pruned.",
        f"PostgreSQL (but for max_connections = {CONNECTIONS}) and the server run with their defaults, on the"
        " same cores as all processes."
        f" Transactions a trial: of one process that worked alone for {size.alone_s:g} s before.",
    ]

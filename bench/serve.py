"""Benchmark: `glioseg serve` beside `glioseg predict`, and what it holds after hundreds of requests."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from statistics import median

import httpx
import psutil

from bench.cohort import prepare
from bench.options import Options
from bench.paired import ratios, take_turns
from bench.results import Goal, Result, Row
from bench.worker import QUIET, Worker, WorkerError
from glioseg.core.modalities import MODALITIES
from glioseg.data.cohort.cases import Case
from tests.helpers.servers import free_port

TITLE = "Served: one case, and many"
USES = ()
SLOWER, READY_S, GROWTH = 1.3, 30.0, 0.05
AT_ONCE = 8
GZIP = {"Accept": "application/gzip"}


@dataclass(frozen=True)
class Size:
    """How often the service is started, each case timed, and how many requests come after how many others."""

    starts: int
    cases: int
    rounds: int
    before: int
    requests: int


FULL, SMOKE = Size(3, 4, 5, 24, 200), Size(1, 1, 1, 4, 8)


@dataclass(frozen=True)
class Served:
    """A running service: a client of it, its process, and how long it took until it was ready."""

    http: httpx.Client
    process: psutil.Process
    ready_s: float

    @property
    def held_gb(self) -> float:
        """Memory of the process now."""
        return self.process.memory_info().rss / 1e9

    def ask(self, files: Mapping[str, bytes]) -> int:
        """Have a case segmented; its status."""
        return self.http.post("/segment", files=files, headers=GZIP).status_code


def run(options: Options) -> Result:
    """Time starts and round trips; then send many requests, in a row and eight at a time."""
    size = SMOKE if options.smoke else FULL
    cases = prepare(options).tests[: size.cases]
    work, log = options.work / "serve", options.log("serve")
    with Worker("ours_predict.py", log=options.log("ours_predict")) as worker:
        worker.ask("make", out=work / "model")
        worker.ask("load", model=work / "model")
        starts = [_start_s(work / "model", log) for _ in range(size.starts)]
        with served(work / "model", log=log) as service:
            rows = [_round_trip(case, service, worker, work, size.rounds) for case in cases]
            contents = [_contents(case) for case in cases]
            loads = [_load(service, contents, size, at_once) for at_once in (1, AT_ONCE)]
    return Result(
        [*rows, *loads],
        _goals(rows, loads, starts),
        [
            f"Ready after {median(starts):.1f} s, the median of {len(starts)} starts.",
            "predict: read, check, segment and write in a process that is warm; served: from the client's"
            " first byte to its last, files and label map as gzip.",
        ],
    )


@contextmanager
def served(model: Path, *, log: Path) -> Iterator[Served]:
    """Run the service on a model folder until the block ends."""
    port, begun = free_port(), time.perf_counter()
    words = ["serve", "--model", str(model), "--port", str(port)]
    command = [sys.executable, "-c", "from glioseg.cli import app; app()", *words]
    with log.open("a") as said:
        process = subprocess.Popen(command, env=os.environ | QUIET, stdout=said, stderr=said)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=600, trust_env=False) as http:
            _wait_until_ready(http, process, log)
            yield Served(http, psutil.Process(process.pid), time.perf_counter() - begun)
    finally:
        process.terminate()
        process.wait()


def _wait_until_ready(http: httpx.Client, process: "subprocess.Popen[bytes]", log: Path) -> None:
    while process.poll() is None:
        try:
            if http.get("/readyz").is_success:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise WorkerError(f"the service ended; see {log}")


def _start_s(model: Path, log: Path) -> float:
    with served(model, log=log) as service:
        return service.ready_s


def _contents(case: Case) -> dict[str, bytes]:
    return {name: case.files[name].read_bytes() for name in MODALITIES}


def _round_trip(case: Case, service: Served, worker: Worker, work: Path, rounds: int) -> Row:
    """Predict and the service in turn; each side reads the files."""
    files = {name: case.files[name].resolve() for name in MODALITIES}

    def by_service() -> float:
        begun = time.perf_counter()
        service.ask(_contents(case))
        return time.perf_counter() - begun

    by_predict = partial(worker.ask, "predict", files=files, out=work / "answer.nii.gz")
    pairs = take_turns([by_predict, by_service], rounds=rounds)
    predict_s, served_s = (median(side) for side in zip(*pairs, strict=True))
    return {"what": case.case, "predict s": predict_s, "served s": served_s, **ratios(pairs)}


def _load(service: Served, contents: Sequence[Mapping[str, bytes]], size: Size, at_once: int) -> Row:
    """Many requests after some that do not count: none may be lost, and memory may not grow."""
    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(service.ask, islice(cycle(contents), size.before)))
        before_gb, begun = service.held_gb, time.perf_counter()
        statuses = list(pool.map(service.ask, islice(cycle(contents), size.requests)))
    return {
        "what": f"{size.requests} requests, {at_once} at a time",
        "s a request": (time.perf_counter() - begun) / size.requests,
        "lost": sum(status != httpx.codes.OK for status in statuses),
        "GB before": before_gb,
        "GB after": service.held_gb,
    }


def _goals(rows: Sequence[Row], loads: Sequence[Row], starts: Sequence[float]) -> list[Goal]:
    ratio, ready_s = median(row["ratio"] for row in rows), median(starts)
    grown = max(row["GB after"] / row["GB before"] - 1 for row in loads)
    lost = sum(row["lost"] for row in loads)
    return [
        Goal(f"served ≤ {SLOWER:g}× predict", f"{ratio:.2f}×", ratio <= SLOWER),
        Goal(f"ready ≤ {READY_S:g} s", f"{ready_s:.1f} s", ready_s <= READY_S),
        Goal(f"memory grows ≤ {GROWTH:.0%}", f"{grown:+.1%}", grown <= GROWTH),
        Goal("no request is lost", f"{lost} lost", lost == 0),
    ]

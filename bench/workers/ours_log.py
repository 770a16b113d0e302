"""Worker: logs made-up trials to an MLflow server, with the calls by which glioseg logs a study."""

import os
import time
import traceback
from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import count

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from serve import serve

from glioseg.mlops.tracking.mlflow_runs import PARENT_TAG, flatten, log_metrics, log_params
from glioseg.params import load_params

STATE = {}
SETTINGS = load_params().model_dump(mode="json", include={"network", "train", "crop", "inference"})
NAMES = ("loss", "dice", "val_loss", "val_dice", "learning_rate")
NUMBERS = count(1_000_000 * os.getpid())
"""Of trials; each has one of its own, whichever process logs it."""


def connect(*, uri: str, experiment: str, parent: str) -> None:
    """Remember where to log to, and make a first request."""
    STATE.update(client=MlflowClient(uri, uri), experiment=experiment, parent=parent)
    STATE["client"].get_run(parent)


def log(*, seconds: float, epochs: int) -> dict[str, object]:
    """Log one trial after another until the time is up.

    Returns:
        `counts`: how much of what was logged, and how many errors cut a trial short; `ms`: the
        milliseconds of each call.
    """
    end, counts, taken = time.monotonic() + seconds, Counter(), {}
    while time.monotonic() < end:
        try:
            _log_trial(next(NUMBERS), epochs, counts, partial(_timed, taken))
        except MlflowException:
            traceback.print_exc()
            counts["errors"] += 1
    return {"counts": counts, "ms": taken}


def _log_trial(number: int, epochs: int, counts: Counter[str], timed: Callable) -> None:
    """Open a run with its settings, log each epoch, the result to the run that all share too, and end it."""
    client, parent = STATE["client"], STATE["parent"]
    tags = {PARENT_TAG: parent, "trial": str(number)}
    run = timed("MLflow: open a run", lambda: client.create_run(STATE["experiment"], tags=tags))
    run_id = run.info.run_id
    counts["runs"] += 1
    timed("MLflow: log its settings", lambda: log_params(client, run_id, SETTINGS))
    counts["params"] += len(flatten(SETTINGS))
    for epoch in range(epochs):
        values = dict.fromkeys(NAMES, number + epoch / epochs)
        timed("MLflow: log an epoch", lambda values=values, step=epoch: _metrics(run_id, values, step))
        counts["metrics"] += len(values)
    timed("MLflow: log to the run of all", lambda: _metrics(parent, {"val_dice_by_trial": 0.5}, number))
    counts["metrics"] += 1
    timed("MLflow: end a run", lambda: client.set_terminated(run_id))
    counts["ended"] += 1


def _metrics(run_id: str, values: dict[str, float], step: int) -> None:
    log_metrics(STATE["client"], run_id, values, step=step)


def _timed(taken: dict[str, list[float]], name: str, call: Callable) -> object:
    begun = time.perf_counter()
    try:
        return call()
    finally:
        taken.setdefault(name, []).append(1000 * (time.perf_counter() - begun))


if __name__ == "__main__":
    serve(connect, log)

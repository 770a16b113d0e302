"""Worker: training steps under Keras' `fit`, fed by glioseg's pipeline or by one batch in memory."""

import os
import time
from itertools import repeat
from pathlib import Path

import keras
from ours_build import Changes, changed, compiled
from serve import serve

from glioseg.data.store.cropped_cases import open_cases
from glioseg.models.training.distributed import patch_worker_count
from glioseg.models.training.fit import Trainer, training_batches
from glioseg.models.training.patch_sampling import patch_workers

STATE = {}
SKIPPED = 2
"""Steps at the start of a block that are not timed: in them queues fill."""


class Clock(keras.callbacks.Callback):
    """When each step ended."""

    def on_train_begin(self, logs=None):
        """Forget the last block."""
        self.ends = []

    def on_train_batch_end(self, batch, logs=None):
        """Note the time."""
        self.ends.append(time.perf_counter())

    @property
    def seconds_a_step(self) -> float:
        """The mean over the steps that count."""
        return (self.ends[-1] - self.ends[SKIPPED - 1]) / (len(self.ends) - SKIPPED)


def prepare(*, store: str, names: list[str], changes: Changes) -> None:
    """Prepare a training of params.yaml with these changes."""
    STATE["plan"] = compiled(changed(changes), open_cases(Path(store), names, raw=None))
    STATE["drawn"] = 0
    STATE["files"] = sorted(Path(store).glob("*/*.b2nd"))
    STATE["batch"] = next(_examples(STATE["plan"], 0))


def memory(*, steps: int) -> float:
    """Seconds of a step on the batch in memory."""
    return _fit(repeat(STATE["batch"]), steps)


def disk(*, steps: int) -> float:
    """Seconds of a step fed from disk: the system's cache of the store is dropped before.

    Each block has patches of its own: a few draws are not what augmentation costs on average.
    """
    for file in STATE["files"]:
        with file.open("rb") as opened:
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    start = STATE["drawn"]
    STATE["drawn"] += steps + SKIPPED
    return _fit(_examples(STATE["plan"], start), steps)


def batch_alone(*, batches: int) -> float:
    """Seconds of a batch where nothing else runs."""
    source = _examples(STATE["plan"], STATE["drawn"])
    next(source)
    begun = time.perf_counter()
    for _ in range(batches):
        next(source)
    return (time.perf_counter() - begun) / batches


def _examples(plan: Trainer, start: int):
    workers = patch_worker_count()
    with patch_workers(plan.cases, workers=workers) as executor:
        yield from training_batches(
            plan.network,
            plan.train,
            plan.cases,
            outputs=plan.outputs,
            start=start,
            executor=executor,
            ahead=workers,
        )


def _fit(source, steps: int) -> float:
    clock = Clock()
    # A generator as `fit` is given one: Keras treats an iterator of another type differently.
    fed = (example for example in source)
    STATE["plan"].model.fit(fed, steps_per_epoch=steps + SKIPPED, callbacks=[clock], shuffle=False, verbose=0)
    return clock.seconds_a_step


if __name__ == "__main__":
    serve(prepare, memory, disk, batch_alone)

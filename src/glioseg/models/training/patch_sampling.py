"""Patches sampled from cropped cases; the seed and the step determine the patches of a step."""

import os
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from threading import get_native_id
from typing import TypeVar

import numpy as np
from jaxtyping import Float32, UInt8
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from glioseg.compute.local import explain_killed_workers, open_pool
from glioseg.core.float16 import float16_to_float32
from glioseg.core.geometry import Shape3
from glioseg.data.store.cropped_cases import CroppedCase, Voxels
from glioseg.data.store.phantom_stream import SyntheticCase
from glioseg.models.training.augmentation import Augmentation
from glioseg.params.sections import Train

NICENESS = 10
"""Niceness of the workers that sample patches, so that the threads of a training step have priority."""

T = TypeVar("T")
Patch = tuple[Float32[NDArray, "d h w 4"], UInt8[NDArray, "d h w"]]


@dataclass(frozen=True)
class Batch:
    """The patches of one training step, and the case of each patch."""

    images: Float32[NDArray, "b d h w 4"]
    labels: UInt8[NDArray, "b d h w"]
    cases: tuple[CroppedCase, ...]


def sample_patch(
    rng: np.random.Generator,
    volume: Voxels,
    labels: Voxels,
    *,
    shape: Shape3,
    tumour_fraction: float,
) -> Patch:
    """A random patch; only its voxels of the image are read.

    With probability `tumour_fraction` the patch is centred on a tumour voxel, as far as the edges of the
    volume allow; otherwise its position is uniform. Along an axis where the patch is at least as long as the
    volume, the volume is centred in it and padded with zeros.

    Args:
        rng: random generator.
        volume: image of a cropped case, (D, H, W, 4).
        labels: its dense labels, (D, H, W).
        shape: shape of the patch, in voxels.
        tumour_fraction: probability of a patch centred on tumour, if the case has tumour.

    Returns:
        The image (D, H, W, 4) float32 and its dense labels (D, H, W) uint8.
    """
    centre = None
    if rng.random() < tumour_fraction:
        labels = voxels = labels[:]  # read once; the patch is a part of it
        centre = _tumour_voxel(rng, voxels)
    d, h, w = (
        _start(rng, n, size, None if centre is None else int(centre[axis]))
        for axis, (n, size) in enumerate(zip(labels.shape, shape, strict=True))
    )
    image = read_window(volume, (d, h, w), shape)
    return float16_to_float32(image), read_window(labels, (d, h, w), shape)


def _tumour_voxel(rng: np.random.Generator, labels: UInt8[NDArray, "d h w"]) -> NDArray[np.intp] | None:
    """Indices of a uniformly sampled tumour voxel; None without tumour."""
    hits = np.flatnonzero(labels)
    return np.array(np.unravel_index(rng.choice(hits), labels.shape)) if hits.size else None


def _start(rng: np.random.Generator, length: int, size: int, centre: int | None) -> int:
    """Start of a patch along an axis; negative where the patch is longer than the volume."""
    if size >= length:
        return -((size - length) // 2)
    if centre is None:
        return int(rng.integers(length - size + 1))
    return min(max(centre - size // 2, 0), length - size)


def read_window(array: Voxels, start: Shape3, shape: Shape3) -> NDArray[np.generic]:
    """A box of voxels, with zeros where it lies outside the volume."""
    inner = [(max(a, 0), min(a + size, n)) for a, size, n in zip(start, shape, array.shape, strict=False)]
    content: NDArray[np.generic] = array[tuple(slice(a, b) for a, b in inner)]
    if content.shape[:3] == tuple(shape):
        return content
    out = np.zeros((*shape, *array.shape[3:]), content.dtype)
    out[tuple(slice(a - s, b - s) for (a, b), s in zip(inner, start, strict=True))] = content
    return out


def sample_batch(step: int, cases: Sequence[CroppedCase], *, train: Train, spacing_mm: int) -> Batch:
    """The batch of a training step, which depends on `train.seed` and `step` alone.

    Cases are sampled in rounds. A round uses each case once, in a new random order. A case is opened once for
    all its patches in a batch. A step does not depend on the steps before it, so that an interrupted training
    resumes with the same batches.

    Between these cases, `train.phantom_share` of all cases are `domain_randomised` phantoms, evenly spread,
    and each of them is used once.

    Args:
        step: training step, counted over all epochs.
        cases: the training cases.
        train: seed, batch size, patches per case, share of phantoms, patch shape, tumour fraction,
            augmentation strength and modality dropout.
        spacing_mm: resolution of the cases.
    """
    rng = np.random.default_rng([train.seed, step])
    count = train.batch_size // train.patches_per_case
    chosen = [_scheduled_case(number, cases, train) for number in range(step * count, (step + 1) * count)]
    patches = [patch for case in chosen for patch in _patches(rng, case, train, spacing_mm)]
    images, labels = zip(*patches, strict=True)
    origins = tuple(case for case in chosen for _ in range(train.patches_per_case))
    return Batch(np.stack(images), np.stack(labels), origins)


def _patches(rng: np.random.Generator, case: CroppedCase, train: Train, spacing_mm: int) -> Iterator[Patch]:
    volume, labels = case.open(spacing_mm)
    for _ in range(train.patches_per_case):
        yield _sample_augmented(rng, volume, labels, train)


def _sample_augmented(rng: np.random.Generator, volume: Voxels, labels: Voxels, train: Train) -> Patch:
    image, label = sample_patch(
        rng, volume, labels, shape=train.patch_shape, tumour_fraction=train.tumour_fraction
    )
    augmentation = Augmentation.sample(
        rng, strength=train.augmentation_strength, modality_dropout=train.modality_dropout
    )
    return augmentation.apply(image, label)


def _scheduled_case(number: int, cases: Sequence[CroppedCase], train: Train) -> CroppedCase:
    """The case with this number in the sequence of all rounds, or a phantom between them."""
    phantoms, with_this = (int(n * train.phantom_share) for n in (number, number + 1))
    if with_this > phantoms:
        return SyntheticCase(phantoms, train.seed, "domain_randomised")
    round_, position = divmod(number - phantoms, len(cases))
    order = np.random.default_rng([train.seed, round_, 1]).permutation(len(cases))
    return cases[int(order[position])]


@contextmanager
def patch_workers(
    cases: Sequence[CroppedCase], *, workers: int, phantom_share: float = 0.0
) -> Iterator[Executor]:
    """An executor of low priority that makes patches during a training; the end of the block stops it.

    Stored cases use threads, because NumPy and Blosc2 release the interpreter's lock while they read.
    Phantoms are rendered when they are opened, which holds the lock, and use processes.
    """
    stored = bool(cases[0].files) and not phantom_share
    executor = open_pool(workers, threads=stored, initializer=_lower_priority)
    try:
        yield executor
    finally:
        executor.shutdown(cancel_futures=True)


def prefetch(make: Callable[[int], T], *, start: int, executor: Executor, ahead: int) -> Iterator[T]:
    """Yield make(start), make(start + 1), … computed `ahead` steps in advance, until the executor shuts down.

    Meanwhile matrix products use one core, because more threads would compete with those of the training.

    Raises:
        ClusterError: a worker process was killed.
    """
    pending: deque[Future[T]] = deque()
    with threadpool_limits(1, user_api="blas"), explain_killed_workers("patches"):
        for step in count(start):
            try:  # Keras requests more batches than it uses: the executor may have shut down by then
                pending.append(executor.submit(make, step))
            except BrokenExecutor:
                raise
            except RuntimeError:
                return
            if len(pending) > ahead:
                try:
                    result = pending.popleft().result()
                except CancelledError:
                    return
                yield result


def _lower_priority() -> None:
    """Lower the priority of this thread; only Linux has priorities of threads."""
    if sys.platform == "linux":  # elsewhere the thread's number may belong to another process
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, get_native_id(), NICENESS)

"""Patches drawn from cropped cases, in an order that a seed and a step number fix."""

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

from glioseg.compute.local import killed_workers_told, pool
from glioseg.core.float16 import widen
from glioseg.core.geometry import Shape3
from glioseg.data.store.cropped_store import CroppedCase, Voxels
from glioseg.models.training.augmentation import Augmentation
from glioseg.params.sections import Train

NICENESS = 10
"""Of the threads that make patches: a training step that waits for one of its own threads loses more."""

T = TypeVar("T")
Patch = tuple[Float32[NDArray, "d h w 4"], UInt8[NDArray, "d h w"]]


@dataclass(frozen=True)
class Batch:
    """The patches of one training step, and the case that each comes from."""

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
    """Draw one patch and read only its voxels of the image.

    A share of the patches is centred on a tumour voxel, as far as the volume's edges allow; the rest
    lie anywhere. Along an axis where the patch is at least as long as the volume, the volume is
    centred in it, with zeros around.

    Args:
        rng: source of the draw.
        volume: the image of a cropped case, (D, H, W, 4).
        labels: its dense labels, (D, H, W).
        shape: of the patch, in voxels.
        tumour_fraction: chance that the patch is centred on tumour, if the case has any.

    Returns:
        The image (D, H, W, 4) float32 and its dense labels (D, H, W) uint8.
    """
    centre = None
    if rng.random() < tumour_fraction:
        labels = truth = labels[:]  # once: the patch lies in it
        centre = _tumour_voxel(rng, truth)
    d, h, w = (
        _start(rng, n, size, None if centre is None else int(centre[axis]))
        for axis, (n, size) in enumerate(zip(labels.shape, shape, strict=True))
    )
    image = read_window(volume, (d, h, w), shape)
    return widen(image), read_window(labels, (d, h, w), shape)


def _tumour_voxel(rng: np.random.Generator, labels: UInt8[NDArray, "d h w"]) -> NDArray[np.intp] | None:
    """One tumour voxel's indices, each as likely as the other; None where there is no tumour."""
    hits = np.flatnonzero(labels)
    return np.array(np.unravel_index(rng.choice(hits), labels.shape)) if hits.size else None


def _start(rng: np.random.Generator, length: int, size: int, centre: int | None) -> int:
    """Where a patch starts along one axis; negative where it is longer than the volume."""
    if size >= length:
        return -((size - length) // 2)
    if centre is None:
        return int(rng.integers(length - size + 1))
    return min(max(centre - size // 2, 0), length - size)


def read_window(array: Voxels, start: Shape3, shape: Shape3) -> NDArray[np.generic]:
    """Read a box of voxels that may reach beyond the volume, where it holds zeros."""
    inner = [(max(a, 0), min(a + size, n)) for a, size, n in zip(start, shape, array.shape, strict=False)]
    content: NDArray[np.generic] = array[tuple(slice(a, b) for a, b in inner)]
    if content.shape[:3] == tuple(shape):
        return content
    out = np.zeros((*shape, *array.shape[3:]), content.dtype)
    out[tuple(slice(a - s, b - s) for (a, b), s in zip(inner, start, strict=True))] = content
    return out


def sample_batch(step: int, cases: Sequence[CroppedCase], *, train: Train, spacing_mm: int) -> Batch:
    """The batch of one training step, the same whenever it is asked for.

    Every case comes once before any comes again, in an order that changes with each round; it is opened
    once for all the patches that it gives to a batch. Because a step depends on nothing before it, training
    that was killed goes on with the same stream.

    Args:
        step: training step, counted over all epochs.
        cases: the training cases.
        train: seed, batch size, patches of a case, patch shape, tumour fraction, augmentation strength and
            modality dropout.
        spacing_mm: which resolution to read.
    """
    rng = np.random.default_rng([train.seed, step])
    count = train.batch_size // train.patches_per_case
    chosen = [_case_in_turn(number, cases, train.seed) for number in range(step * count, (step + 1) * count)]
    patches = [patch for case in chosen for patch in _patches(rng, case, train, spacing_mm)]
    images, labels = zip(*patches, strict=True)
    origins = tuple(case for case in chosen for _ in range(train.patches_per_case))
    return Batch(np.stack(images), np.stack(labels), origins)


def _patches(rng: np.random.Generator, case: CroppedCase, train: Train, spacing_mm: int) -> Iterator[Patch]:
    volume, labels = case.open(spacing_mm)
    for _ in range(train.patches_per_case):
        yield _augmented(rng, volume, labels, train)


def _augmented(rng: np.random.Generator, volume: Voxels, labels: Voxels, train: Train) -> Patch:
    image, label = sample_patch(
        rng, volume, labels, shape=train.patch_shape, tumour_fraction=train.tumour_fraction
    )
    augmentation = Augmentation.draw(
        rng, strength=train.augmentation_strength, modality_dropout=train.modality_dropout
    )
    return augmentation.apply(image, label)


def _case_in_turn(number: int, cases: Sequence[CroppedCase], seed: int) -> CroppedCase:
    """The case of the patch with this number, counted from the start of training."""
    round_, place = divmod(number, len(cases))
    order = np.random.default_rng([seed, round_, 1]).permutation(len(cases))
    return cases[int(order[place])]


@contextmanager
def patch_makers(cases: Sequence[CroppedCase], *, workers: int) -> Iterator[Executor]:
    """What makes patches beside a training; at the end of the block none of it works any more.

    Reading takes threads: NumPy and Blosc2 release the interpreter's lock. Cases without files are drawn
    as they are opened, which holds the lock, so that takes processes. Both step back where training wants
    the core.
    """
    makers = pool(workers, threads=bool(cases[0].files), initializer=_step_back)
    try:
        yield makers
    finally:
        makers.shutdown(cancel_futures=True)


def prefetch(make: Callable[[int], T], *, start: int, makers: Executor, ahead: int) -> Iterator[T]:
    """Yield make(start), make(start + 1), … for as long as the makers take work, so many ahead of need.

    Meanwhile a product of matrices takes one core: its threads would wait for those of the training.

    Raises:
        ClusterError: a process that makes patches was killed.
    """
    begun: deque[Future[T]] = deque()
    with threadpool_limits(1, user_api="blas"), killed_workers_told("patches"):
        for step in count(start):
            try:  # Keras asks for more than it trains on: by then the makers may be gone
                begun.append(makers.submit(make, step))
            except BrokenExecutor:
                raise
            except RuntimeError:
                return
            if len(begun) > ahead:
                try:
                    made = begun.popleft().result()
                except CancelledError:
                    return
                yield made


def _step_back() -> None:
    """Let this thread run where others leave a core free; only Linux knows priorities of threads."""
    if sys.platform == "linux":  # elsewhere a thread's number may be that of some process
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, get_native_id(), NICENESS)

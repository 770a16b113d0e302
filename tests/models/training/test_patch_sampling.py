"""Patches have the requested share of tumour, are padded with zeros, and depend on seed and step alone."""

import os
import signal
import sys
from collections.abc import Callable
from concurrent.futures import BrokenExecutor
from contextlib import suppress
from itertools import islice
from pathlib import Path
from threading import get_native_id

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from glioseg.core.errors import ClusterError
from glioseg.core.geometry import Box
from glioseg.core.nifti import Grid
from glioseg.data.store.cropped_cases import StoredCase
from glioseg.data.store.cropped_store import write_case
from glioseg.data.store.cropping import Placement
from glioseg.data.store.phantom_stream import PhantomStream, SyntheticCase
from glioseg.models.training.patch_sampling import patch_workers, prefetch, sample_batch, sample_patch
from glioseg.params.sections import Train

MakeTrain = Callable[..., Train]
SHAPE = (20, 10, 12)


def write_numbered(folder: Path, label: np.ndarray, *, offset: int = 0) -> StoredCase:
    """A case whose first modality numbers its voxels from 1, so that a patch shows where it lies."""
    image = np.zeros((*SHAPE, 4), np.float32)
    image[..., 0] = 1 + np.arange(np.prod(SHAPE)).reshape(SHAPE) % 2000
    image[..., 1] = offset
    placement = Placement(Grid(SHAPE, np.eye(4)), Box((0, 0, 0), SHAPE))
    return write_case(folder, image, label, placement, spacings_mm=(1,))


@pytest.fixture
def case(tmp_path: Path) -> StoredCase:
    label = np.zeros(SHAPE, np.uint8)
    label[17, 2, 6] = 3
    return write_numbered(tmp_path / "case", label)


def sample(case: StoredCase, shape: tuple[int, int, int], fraction: float, seed: int = 0):
    rng = np.random.default_rng(seed)
    return sample_patch(rng, *case.open(1), shape=shape, tumour_fraction=fraction)


def position(image: np.ndarray) -> tuple[int, ...]:
    return tuple(int(n) for n in np.unravel_index(int(image[0, 0, 0, 0]) - 1, SHAPE))


def test_a_tumour_patch_is_centred_as_far_as_the_edges_allow(case: StoredCase) -> None:
    image, label = sample(case, (4, 4, 4), 1.0)
    # Centre 17, 2, 6 less half a patch is 15, 0, 4; all of it lies inside.
    assert position(image) == (15, 0, 4)
    assert label[2, 2, 2] == 3
    image, label = sample(case, (8, 8, 8), 1.0)
    # 13 is cut to 20 - 8 = 12, -2 to 0, 2 stays.
    assert position(image) == (12, 0, 2)
    assert label[5, 2, 4] == 3


def test_a_uniform_patch_lies_anywhere_inside(case: StoredCase) -> None:
    places = np.array([position(sample(case, (18, 4, 12), 0.0, seed)[0]) for seed in range(60)])
    assert set(places[:, 0]) == {0, 1, 2}
    assert set(places[:, 1]) == set(range(7))
    assert set(places[:, 2]) == {0}


def test_the_share_of_tumour_patches_is_tumour_fraction(case: StoredCase) -> None:
    hits = [sample(case, (1, 1, 1), 0.3, seed)[1].any() for seed in range(300)]
    # A uniform voxel is tumour with chance 1/2400; 3 standard deviations of 300 draws are 0.08.
    assert np.mean(hits) == pytest.approx(0.3, abs=0.08)


def test_a_case_without_tumour_gives_uniform_patches(tmp_path: Path) -> None:
    case = write_numbered(tmp_path / "healthy", np.zeros(SHAPE, np.uint8))
    assert not sample(case, (4, 4, 4), 1.0)[1].any()


def test_a_patch_larger_than_the_volume_is_padded_with_zeros(case: StoredCase) -> None:
    image, label = sample(case, (24, 13, 8), 1.0)
    assert image.shape == (24, 13, 8, 4)
    # 4 voxels too many: 2 before and 2 after; 3 too many: 1 before and 2 after; 6 - 4 = 2 is where w starts.
    inner = image[2:22, 1:11, :, 0]
    np.testing.assert_array_equal(inner, case.image(1)[:, :, 2:10, 0])
    assert np.count_nonzero(image[..., 0]) == np.count_nonzero(inner)
    assert label[17 + 2, 2 + 1, 6 - 2] == 3


def test_a_batch_depends_on_seed_and_step_alone(case: StoredCase, tiny_train: MakeTrain) -> None:
    one, two, other = (sample_batch(step, [case], train=tiny_train(), spacing_mm=1) for step in (3, 3, 4))
    np.testing.assert_array_equal(one.images, two.images)
    np.testing.assert_array_equal(one.labels, two.labels)
    assert (one.images != other.images).any()
    reseeded = sample_batch(3, [case], train=tiny_train(seed=6), spacing_mm=1)
    assert (one.images != reseeded.images).any()


def test_every_round_uses_each_case_once(tmp_path: Path, tiny_train: MakeTrain) -> None:
    empty = np.zeros(SHAPE, np.uint8)
    cases = [write_numbered(tmp_path / str(i), empty, offset=i) for i in range(5)]
    train = tiny_train(augmentation_strength=0.0)
    batches = [sample_batch(step, cases, train=train, spacing_mm=1) for step in range(5)]
    sequence = np.concatenate([batch.images[:, 0, 0, 0, 1] for batch in batches]).astype(int).tolist()
    assert sequence == [int(case.name) for batch in batches for case in batch.cases]
    assert sorted(sequence[:5]) == sorted(sequence[5:]) == [0, 1, 2, 3, 4]
    assert sequence[:5] != sequence[5:]


@pytest.mark.parametrize(
    ("share", "phantoms"),
    # The case with number n is a phantom if n · share passes a whole number: for 0.5 every second case.
    [(0.5, [1, 3, 5, 7]), (0.25, [3, 7]), (0.0, [])],
)
def test_phantoms_are_evenly_spread_between_the_cases(
    tmp_path: Path,
    tiny_train: MakeTrain,
    monkeypatch: pytest.MonkeyPatch,
    share: float,
    phantoms: list[int],
) -> None:
    empty = np.zeros(SHAPE, np.uint8)
    cases = [write_numbered(tmp_path / str(i), empty) for i in range(3)]
    monkeypatch.setattr(SyntheticCase, "open", lambda self, spacing_mm: cases[0].open(spacing_mm))
    train = tiny_train(phantom_share=share, batch_size=2)
    batches = [sample_batch(step, cases, train=train, spacing_mm=1) for step in range(4)]
    chosen = [case for batch in batches for case in batch.cases]
    assert [n for n, case in enumerate(chosen) if isinstance(case, SyntheticCase)] == phantoms
    rendered = [case for case in chosen if isinstance(case, SyntheticCase)]
    assert [(case.index, case.preset) for case in rendered] == [
        (n, "domain_randomised") for n in range(len(phantoms))
    ]
    assert {case.seed for case in rendered} <= {train.seed}
    assert {case.name for case in chosen[:6] if isinstance(case, StoredCase)} == {"0", "1", "2"}


def test_modality_dropout_applies_to_batches(case: StoredCase, tiny_train: MakeTrain) -> None:
    def lacks(chance: float) -> list[bool]:
        train = tiny_train(augmentation_strength=0.0, modality_dropout=chance, batch_size=8)
        images = sample_batch(0, [case], train=train, spacing_mm=1).images
        # Only modality 0 of this case has voxels that are not 0.
        return (~images[..., 0].any(axis=(1, 2, 3))).tolist()

    assert not any(lacks(0.0))
    assert any(lacks(1.0))


def test_prefetching_keeps_the_order_from_the_given_start(case: StoredCase) -> None:
    with patch_workers([case], workers=2) as executor:
        prefetched = prefetch(lambda step: step**2, start=3, executor=executor, ahead=2)
        assert list(islice(prefetched, 5)) == [9, 16, 25, 36, 49]
    assert list(prefetched) == []


def blas_threads() -> set[int]:
    return {open_pool["num_threads"] for open_pool in threadpool_info() if open_pool["user_api"] == "blas"}


def test_matrix_products_use_one_core_during_prefetching(case: StoredCase) -> None:
    with threadpool_limits(2, user_api="blas"), patch_workers([case], workers=1) as executor:
        prefetched = prefetch(lambda step: blas_threads(), start=0, executor=executor, ahead=1)
        assert next(prefetched) == {1}
        prefetched.close()
        assert blas_threads() == {2}


def priority(step: int = 0) -> int:
    return os.getpriority(os.PRIO_PROCESS, get_native_id())


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="threads share one priority")
@pytest.mark.parametrize("synthetic", [False, True])
def test_patch_workers_have_a_lower_priority_than_training(case: StoredCase, *, synthetic: bool) -> None:
    before = priority()
    cases = PhantomStream(2, 1, "typical") if synthetic else [case]
    with patch_workers(cases, workers=1) as executor:
        assert next(prefetch(priority, start=0, executor=executor, ahead=1)) == min(before + 10, 19)
    assert priority() == before


def test_on_macos_no_priority_is_changed(case: StoredCase, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads have no priority there, and a thread's number may belong to another process."""
    changed: list[tuple[int, ...]] = []
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(os, "setpriority", lambda *given: changed.append(given))
    with patch_workers([case], workers=1) as executor:
        assert next(prefetch(abs, start=3, executor=executor, ahead=1)) == 3
    assert changed == []


def process(step: int) -> tuple[int, set[int]]:
    return os.getpid(), blas_threads()


def test_synthetic_cases_use_processes_and_stored_cases_use_threads(case: StoredCase) -> None:
    with patch_workers(PhantomStream(2, 1, "typical"), workers=1) as executor:
        there, threads = next(prefetch(process, start=0, executor=executor, ahead=1))
    assert (there != os.getpid(), threads) == (True, {1})
    with patch_workers([case], workers=1) as executor:
        assert next(prefetch(process, start=0, executor=executor, ahead=1))[0] == os.getpid()


def test_a_case_is_opened_once_for_all_its_patches_in_a_batch(tmp_path: Path, tiny_train: MakeTrain) -> None:
    cases = [write_numbered(tmp_path / str(i), np.zeros(SHAPE, np.uint8), offset=i) for i in range(2)]
    opened = []
    for one in cases:
        plain = one.open
        object.__setattr__(one, "open", lambda mm, one=one, plain=plain: opened.append(one) or plain(mm))
    train = tiny_train(augmentation_strength=0.0, batch_size=6, patches_per_case=3)
    batch = sample_batch(0, cases, train=train, spacing_mm=1)
    assert sorted(one.name for one in opened) == ["0", "1"]
    sequence = batch.images[:, 0, 0, 0, 1].astype(int).tolist()
    assert sequence == [int(one.name) for one in batch.cases]
    assert sorted(sequence) == [0, 0, 0, 1, 1, 1]
    assert len({position(image) for image in batch.images}) > 2  # not the same patch three times


def test_a_batch_has_whole_cases(tiny_train: MakeTrain) -> None:
    with pytest.raises(
        ValueError, match="patches_per_case: expected a number that divides batch_size 4, got 3"
    ):
        tiny_train(batch_size=4, patches_per_case=3)


def test_an_error_while_prefetching_reaches_the_caller(case: StoredCase) -> None:
    def fail(step: int) -> int:
        raise OSError(f"step {step}")

    with patch_workers([case], workers=1) as executor, pytest.raises(OSError, match="step 0"):
        next(prefetch(fail, start=0, executor=executor, ahead=1))


def die(step: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return step


@pytest.mark.parametrize("before", [False, True])
def test_a_killed_worker_is_an_error_and_not_the_end_of_the_batches(*, before: bool) -> None:
    with patch_workers(PhantomStream(2, 1, "typical"), workers=1) as executor:
        if before:
            with suppress(BrokenExecutor):
                executor.submit(die, 0).result()
        with pytest.raises(ClusterError, match=r"^patches: a worker process was killed"):
            next(prefetch(die, start=0, executor=executor, ahead=1))

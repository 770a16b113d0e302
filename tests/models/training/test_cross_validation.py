"""Cross-validation: a network for each fold, validated on cases outside its training set."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from glioseg.compute import Cluster
from glioseg.core.cpus import usable_cores
from glioseg.data.store.cropped_cases import StoredCase
from glioseg.models.training.cross_validation import TrainedNetworks, TrainingSplit, fit_splits
from glioseg.params.sections import Network, Train
from tests.helpers.clusters import scheduler, two_workers

Reported = list[tuple[int, int]]


def run(
    network: Network,
    train: Train,
    toys: list[StoredCase],
    state: Path,
    kill_in: tuple[int, int] | None = None,
    cluster: Cluster | None = None,
) -> tuple[TrainedNetworks, Reported]:
    """An ensemble of two folds, and the folds and epochs that were reported."""
    reported: Reported = []

    def report(fold: int, epoch: int) -> None:
        if (fold, epoch) == kill_in:
            os.kill(os.getpid(), signal.SIGKILL)
        reported.append((fold, epoch))

    @contextmanager
    def epoch_callback(fold: int) -> Iterator[Callable]:
        yield lambda epoch, logs: report(fold, epoch)

    splits = [TrainingSplit(toys[1:], toys[:1]), TrainingSplit(toys[:4], toys[4:])]
    settings = {"network": network, "train": train, "state": state, "cluster": cluster}
    return fit_splits(splits, **settings, epoch_callback=epoch_callback), reported


@pytest.fixture(scope="module")
def whole(
    toys: list[StoredCase],
    tiny_network: Callable,
    tiny_train: Callable,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[TrainedNetworks, Reported]:
    """An uninterrupted training."""
    return run(tiny_network(), tiny_train(epochs=2), toys, tmp_path_factory.mktemp("whole"))


def test_each_fold_has_a_network_and_a_history(
    whole: tuple[TrainedNetworks, Reported], toys: list[StoredCase]
) -> None:
    ensemble, reported = whole
    assert reported == [(0, 0), (0, 1), (1, 0), (1, 1)]
    history = ensemble.history
    assert list(zip(history["fold"], history["epoch"], strict=True)) == reported
    best = history.groupby("fold")["val_dice"].max()
    assert ensemble.validation_dice == pytest.approx([best[0], best[1]])
    one, other = (model.get_weights() for model in ensemble.networks)
    assert any((a != b).any() for a, b in zip(one, other, strict=True))


def test_an_interruption_in_the_second_fold_repeats_only_that_epoch(
    whole: tuple[TrainedNetworks, Reported],
    toys: list[StoredCase],
    tiny_network: Callable,
    tiny_train: Callable,
    tmp_path: Path,
) -> None:
    arguments = (tiny_network(), tiny_train(epochs=2), toys, tmp_path)
    process = multiprocessing.get_context("spawn").Process(target=run, args=(*arguments, (1, 1)))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    ensemble, reported = run(*arguments)
    assert reported == [(1, 1)]
    columns = [column for column in ensemble.history if column != "seconds"]
    expected = whole[0].history[columns].to_numpy(float)
    np.testing.assert_allclose(ensemble.history[columns].to_numpy(float), expected, rtol=1e-4, atol=1e-6)
    for model, other in zip(ensemble.networks, whole[0].networks, strict=True):
        for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_folds_trained_in_parallel_on_a_cluster_have_the_same_bytes(
    whole: tuple[TrainedNetworks, Reported],
    toys: list[StoredCase],
    tiny_network: Callable,
    tiny_train: Callable,
    tmp_path: Path,
) -> None:
    threads = [
        "--nthreads",
        str(usable_cores()),
    ]  # as many as in this process: sums are rounded in another order otherwise
    with scheduler(tmp_path) as address, two_workers(address, tmp_path, words=threads):
        setup = tiny_network(), tiny_train(epochs=2), toys, tmp_path / "state"
        ensemble, reported = run(*setup, cluster=Cluster(address))
    assert reported == whole[1]
    for model, other in zip(ensemble.networks, whole[0].networks, strict=True):
        for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
    columns = [column for column in ensemble.history if column != "seconds"]
    np.testing.assert_array_equal(ensemble.history[columns].to_numpy(), whole[0].history[columns].to_numpy())

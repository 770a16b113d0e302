"""Cross-validation: a network for each fold, each judged on cases that it has not seen."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from glioseg.compute import Cluster
from glioseg.core.cpus import cores
from glioseg.data.store.cropped_store import StoredCase
from glioseg.models.training.cross_validation import Members, Part, fit_members
from glioseg.params.sections import Network, Train
from tests.helpers.clusters import scheduler, two_workers

Told = list[tuple[int, int]]


def run(
    network: Network,
    train: Train,
    toys: list[StoredCase],
    state: Path,
    kill_in: tuple[int, int] | None = None,
    cluster: Cluster | None = None,
) -> tuple[Members, Told]:
    """Two folds: their members, and the folds and epochs that were told of."""
    told: Told = []

    def tell(fold: int, epoch: int) -> None:
        if (fold, epoch) == kill_in:
            os.kill(os.getpid(), signal.SIGKILL)
        told.append((fold, epoch))

    @contextmanager
    def follow(fold: int) -> Iterator[Callable]:
        yield lambda epoch, logs: tell(fold, epoch)

    parts = [Part(toys[1:], toys[:1]), Part(toys[:4], toys[4:])]
    given = {"network": network, "train": train, "state": state, "follow": follow, "cluster": cluster}
    return fit_members(parts, **given), told


@pytest.fixture(scope="module")
def whole(
    toys: list[StoredCase],
    tiny_network: Callable,
    tiny_train: Callable,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Members, Told]:
    """A training that nothing ended."""
    return run(tiny_network(), tiny_train(epochs=2), toys, tmp_path_factory.mktemp("whole"))


def test_each_fold_has_a_network_and_a_history(whole: tuple[Members, Told], toys: list[StoredCase]) -> None:
    members, told = whole
    assert told == [(0, 0), (0, 1), (1, 0), (1, 1)]
    history = members.history
    assert list(zip(history["fold"], history["epoch"], strict=True)) == told
    best = history.groupby("fold")["val_dice"].max()
    assert members.validation_dice == pytest.approx((best[0] + best[1]) / 2)
    one, other = (model.get_weights() for model in members.networks)
    assert any((a != b).any() for a, b in zip(one, other, strict=True))


def test_a_kill_in_the_second_fold_costs_that_epoch_alone(
    whole: tuple[Members, Told],
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
    members, told = run(*arguments)
    assert told == [(1, 1)]
    columns = [column for column in members.history if column != "seconds"]
    expected = whole[0].history[columns].to_numpy(float)
    np.testing.assert_allclose(members.history[columns].to_numpy(float), expected, rtol=1e-4, atol=1e-6)
    for model, other in zip(members.networks, whole[0].networks, strict=True):
        for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_folds_side_by_side_on_a_cluster_are_the_same_to_the_last_bit(
    whole: tuple[Members, Told],
    toys: list[StoredCase],
    tiny_network: Callable,
    tiny_train: Callable,
    tmp_path: Path,
) -> None:
    threads = ["--nthreads", str(cores())]  # as many as here: sums are rounded in another order else
    with scheduler(tmp_path) as address, two_workers(address, tmp_path, words=threads):
        setup = tiny_network(), tiny_train(epochs=2), toys, tmp_path / "state"
        members, told = run(*setup, cluster=Cluster(address))
    assert told == whole[1]
    for model, other in zip(members.networks, whole[0].networks, strict=True):
        for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
    columns = [column for column in members.history if column != "seconds"]
    np.testing.assert_array_equal(members.history[columns].to_numpy(), whole[0].history[columns].to_numpy())

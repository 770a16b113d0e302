"""Cross-validation: a network for each fold, each judged on cases that it has not seen."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from glioseg.data.store import StoredCase
from glioseg.nets.folds import Part, fit_members


def test_each_fold_has_a_network_and_a_history(
    toys: list[StoredCase], tiny_network: Callable, tiny_train: Callable, tmp_path: Path
) -> None:
    told: list[tuple[int, int]] = []

    @contextmanager
    def follow(fold: int) -> Iterator[Callable]:
        yield lambda epoch, logs: told.append((fold, epoch))

    parts = [Part(toys[1:], toys[:1]), Part(toys[:4], toys[4:])]
    members = fit_members(
        parts,
        network=tiny_network(),
        train=tiny_train(epochs=2),
        state=tmp_path,
        follow=follow,
    )
    assert told == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert [cases for _, cases in members.networks] == [toys[:1], toys[4:]]
    history = members.history
    assert list(zip(history["fold"], history["epoch"], strict=True)) == told
    best = history.groupby("fold")["val_dice"].max()
    assert members.validation_dice == pytest.approx((best[0] + best[1]) / 2)
    one, other = (model.get_weights() for model, _ in members.networks)
    assert any((a != b).any() for a, b in zip(one, other, strict=True))

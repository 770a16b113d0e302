"""Grade and survival are learned beside the segmentation, also where some cases lack them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from glioseg.core.settings_file import ParamsError
from glioseg.data.store.cropped_store import StoredCase
from glioseg.models.training.fit import fit
from glioseg.params.sections import Network, Train

MakeNetwork = Callable[..., Network]
MakeTrain = Callable[..., Train]


def test_grade_and_survival_are_learned_beside_the_segmentation(
    toys: list[StoredCase], tiny_network: MakeNetwork, tiny_train: MakeTrain, tmp_path: Path
) -> None:
    unknown = StoredCase(toys[0].folder)
    train = tiny_train(outputs=["segmentation", "grade", "survival"], epochs=2)
    fitted = fit(
        network=tiny_network(),
        train=train,
        cases=[unknown, *toys[1:3]],
        validation=[unknown, *toys[3:]],
        state=tmp_path,
        on_epoch=lambda epoch, logs: None,
    )
    answer = fitted.model.predict_on_batch(np.zeros((1, 16, 16, 12, 4), np.float32))
    assert {name: value.shape for name, value in answer.items()} == {
        "segmentation": (1, 16, 16, 12, 3),
        "grade": (1, 1),
        "survival": (1, 1),
    }
    last = fitted.history[-1]
    assert all(np.isfinite(value) for value in last.values())
    segmentation, grade, survival = (last[f"val_{name}_loss"] for name in answer)
    assert min(segmentation, grade, survival) > 0
    # As in the seed, an outcome weighs a fifth of the segmentation. Its own mean is over the two of three
    # cases that have it; in the whole, as in training, the third case costs 0.
    expected = segmentation + 2 / 3 * (0.2 * grade + 0.2 * survival)
    assert last["val_loss"] == pytest.approx(expected, abs=1e-5)


def test_numbers_of_training_and_validation_have_the_same_names(
    toys: list[StoredCase], tiny_network: MakeNetwork, tiny_train: MakeTrain, tmp_path: Path
) -> None:
    fitted = fit(
        network=tiny_network(target="labels"),
        train=tiny_train(outputs=["segmentation", "grade"], loss="seed", epochs=1, steps_per_epoch=1),
        cases=toys[:3],
        validation=toys[3:],
        state=tmp_path,
        on_epoch=lambda epoch, logs: None,
    )
    (epoch,) = fitted.history
    for name in ("loss", "segmentation_loss", "grade_loss", "segmentation_seed_dice"):
        assert {name, f"val_{name}"} <= epoch.keys()


def test_an_outcome_that_no_training_case_has_is_refused(
    toys: list[StoredCase], tiny_network: MakeNetwork, tiny_train: MakeTrain, tmp_path: Path
) -> None:
    unknown = [StoredCase(toy.folder) for toy in toys]
    with pytest.raises(ParamsError, match=r"train\.outputs: grade needs training cases"):
        fit(
            network=tiny_network(),
            train=tiny_train(outputs=["segmentation", "grade"]),
            cases=unknown[:3],
            validation=unknown[3:],
            state=tmp_path,
            on_epoch=lambda epoch, logs: None,
        )

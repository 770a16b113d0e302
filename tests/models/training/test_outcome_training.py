"""Grade and survival are trained with the segmentation, also if they are unknown for some cases."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from glioseg.data.store.cropped_cases import StoredCase
from glioseg.models.training.fit import fit
from glioseg.params.sections import Network, Train
from glioseg.params.settings_file import ParamsError

MakeNetwork = Callable[..., Network]
MakeTrain = Callable[..., Train]


def test_grade_and_survival_are_trained_with_the_segmentation(
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
    prediction = fitted.model.predict_on_batch(np.zeros((1, 16, 16, 12, 4), np.float32))
    assert {name: value.shape for name, value in prediction.items()} == {
        "segmentation": (1, 16, 16, 12, 3),
        "grade": (1, 1),
        "survival": (1, 1),
    }
    last = fitted.history[-1]
    assert all(np.isfinite(value) for value in last.values())
    segmentation, grade, survival = (last[f"val_{name}_loss"] for name in prediction)
    assert min(segmentation, grade, survival) > 0
    # An outcome has a fifth of the segmentation's weight, as in the seed. Its own loss is the mean over the
    # two cases with a known outcome; in val_loss, as in training, the third case adds 0.
    expected = segmentation + 2 / 3 * (0.2 * grade + 0.2 * survival)
    assert last["val_loss"] == pytest.approx(expected, abs=1e-5)


def test_training_and_validation_log_the_same_names(
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


def test_an_outcome_that_is_unknown_for_all_cases_is_rejected(
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

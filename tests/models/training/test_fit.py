"""Training learns, stops early, is reproducible, and resumes after an interruption."""

import multiprocessing
import os
import signal
from collections.abc import Callable
from contextlib import redirect_stdout
from functools import partial
from io import StringIO
from pathlib import Path
from typing import NoReturn

import keras
import numpy as np
import pytest

from glioseg.core.errors import GliosegError
from glioseg.data.store.cropped_cases import StoredCase
from glioseg.models.training.fit import FitResult, Trainer, fingerprint, fit
from glioseg.params.sections import Network, Train
from tests.helpers.bfloat16 import needs_bfloat16
from tests.helpers.toys import write_toy

LOGS = {
    "loss",
    "val_loss",
    "val_dice",
    "val_dice_wt",
    "val_dice_tc",
    "val_dice_et",
    "learning_rate",
    "seconds",
}
MakeNetwork = Callable[..., Network]
MakeTrain = Callable[..., Train]


def run(
    network: Network, train: Train, toys: list[StoredCase], state: Path, kill_in: int | None = None
) -> FitResult:
    def on_epoch(epoch: int, logs: dict[str, float]) -> None:
        assert set(logs) == LOGS
        if epoch == kill_in:
            os.kill(os.getpid(), signal.SIGKILL)

    return fit(
        network=network,
        train=train,
        cases=toys[:3],
        validation=toys[3:],
        state=state,
        on_epoch=on_epoch,
    )


@pytest.fixture(scope="module")
def whole(
    toys: list[StoredCase],
    tiny_network: MakeNetwork,
    tiny_train: MakeTrain,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[FitResult, str, Path]:
    """An uninterrupted training, the lines that it printed, and its state."""
    state = tmp_path_factory.mktemp("whole") / "state"
    with redirect_stdout(StringIO()) as printed:
        fitted = run(tiny_network(), tiny_train(), toys, state)
    return fitted, printed.getvalue(), state


def test_a_killed_training_resumes_with_the_same_result(
    whole: tuple[FitResult, str, Path],
    toys: list[StoredCase],
    tiny_network: MakeNetwork,
    tiny_train: MakeTrain,
    tmp_path: Path,
) -> None:
    for epoch in (1, 3):
        arguments = (tiny_network(), tiny_train(), toys, tmp_path / "state", epoch)
        process = multiprocessing.get_context("spawn").Process(target=run, args=arguments)
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL
    resumed = run(tiny_network(), tiny_train(), toys, tmp_path / "state")
    assert len(resumed.history) == tiny_train().epochs
    for one, two in zip(whole[0].history, resumed.history, strict=True):
        assert one | {"seconds": 0} == pytest.approx(two | {"seconds": 0}, rel=1e-4, abs=1e-6)
    for a, b in zip(whole[0].model.get_weights(), resumed.model.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_a_finished_training_is_not_repeated(
    whole: tuple[FitResult, str, Path],
    toys: list[StoredCase],
    tiny_network: MakeNetwork,
    tiny_train: MakeTrain,
) -> None:
    fitted, _, state = whole
    again = run(tiny_network(), tiny_train(), toys, state, kill_in=0)  # an epoch would kill this process
    assert again.history == fitted.history
    for a, b in zip(fitted.model.get_weights(), again.model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_model_has_the_weights_of_the_best_epoch(
    whole: tuple[FitResult, str, Path], toys: list[StoredCase]
) -> None:
    fitted, _, _ = whole
    best = max(logs["val_dice"] for logs in fitted.history)
    assert mean_dice(fitted.model, toys[3:]) == pytest.approx(best, abs=1e-6)


def mean_dice(model: keras.Model, cases: list[StoredCase]) -> float:
    """Mean Dice of the three nested regions, independent of the library's code."""
    scores = []
    for case in cases:
        image = np.zeros((14, 16, 12, 4), np.float32)  # a toy is (13, 16, 11), padded at the end
        image[:13, :, :11] = case.image(1)[:]
        prediction = np.asarray(model(image[np.newaxis])["segmentation"])[0, :13, :, :11] >= 0.5
        label = case.label(1)[:]
        truth = np.stack([label > 0, (label == 1) | (label == 3), label == 3], axis=-1)
        for region in range(3):
            total = truth[..., region].sum() + prediction[..., region].sum()
            scores.append(2 * (truth & prediction)[..., region].sum() / total if total else 1.0)
    return float(np.mean(scores))


def test_progress_has_a_line_for_each_epoch(whole: tuple[FitResult, str, Path]) -> None:
    lines = whole[1].splitlines()
    assert [line.split(":")[0] for line in lines] == [f"epoch {n}/4" for n in (1, 2, 3, 4)]
    assert all("val_dice" in line for line in lines)
    assert lines[-1].endswith("about 0 s left")


def test_the_learning_rate_ends_at_zero(whole: tuple[FitResult, str, Path]) -> None:
    rates = [logs["learning_rate"] for logs in whole[0].history]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] == pytest.approx(0, abs=1e-9)


def test_it_stops_early_without_improvement(
    toys: list[StoredCase], tiny_network: MakeNetwork, tiny_train: MakeTrain, tmp_path: Path
) -> None:
    # So small a learning rate changes no prediction: only the first epoch is an improvement.
    train = tiny_train(learning_rate=1e-12, patience=2)
    assert len(run(tiny_network(), train, toys, tmp_path).history) == 3


@needs_bfloat16
def test_mixed_precision_learns_and_keeps_the_global_policy(
    toys: list[StoredCase], tiny_network: MakeNetwork, tiny_train: MakeTrain, tmp_path: Path
) -> None:
    before = keras.config.dtype_policy().name
    train = tiny_train(
        epochs=3,
        steps_per_epoch=20,
        learning_rate=0.03,
        augmentation_strength=0.0,
        precision="bfloat16",
    )
    fitted = run(tiny_network(), train, toys, tmp_path)
    assert fitted.history[-1]["loss"] < 0.7 * fitted.history[0]["loss"]
    assert fitted.model.get_layer("enc0").compute_dtype == "bfloat16"
    assert keras.config.dtype_policy().name == before


def test_a_patch_shape_that_depth_does_not_divide_is_rejected(
    toys: list[StoredCase], tiny_network: MakeNetwork, tiny_train: MakeTrain, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"train\.patch_shape: expected multiples of 2"):
        run(tiny_network(), tiny_train(patch_shape=(8, 9, 8)), toys, tmp_path)


def test_training_without_cases_is_rejected(
    toys: list[StoredCase], tiny_network: MakeNetwork, tiny_train: MakeTrain, tmp_path: Path
) -> None:
    with pytest.raises(GliosegError, match="got 3 and 0"):
        run(tiny_network(), tiny_train(), toys[:3], tmp_path)


def test_the_fingerprint_depends_on_settings_and_cases(
    toys: list[StoredCase], tiny_network: MakeNetwork, tiny_train: MakeTrain
) -> None:
    fingerprints = {
        fingerprint(tiny_network(), tiny_train(), toys),
        fingerprint(tiny_network(), tiny_train(), toys[:2]),
        fingerprint(tiny_network(), tiny_train(seed=6), toys),
        fingerprint(tiny_network(dropout=0.0), tiny_train(), toys),
    }
    assert len(fingerprints) == 4
    assert fingerprint(tiny_network(), tiny_train(), toys) in fingerprints


def test_the_same_seed_gives_the_same_weights(
    whole: tuple[FitResult, str, Path],
    toys: list[StoredCase],
    tiny_network: MakeNetwork,
    tiny_train: MakeTrain,
    tmp_path: Path,
) -> None:
    again = run(tiny_network(), tiny_train(), toys, tmp_path)
    for a, b in zip(whole[0].model.get_weights(), again.model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    other = run(tiny_network(), tiny_train(seed=6), toys, tmp_path)
    assert any(
        (a != b).any() for a, b in zip(again.model.get_weights(), other.model.get_weights(), strict=True)
    )


def test_the_same_seed_gives_the_same_weights_with_large_patches(
    toys: list[StoredCase], tiny_network: MakeNetwork, tiny_train: MakeTrain, tmp_path: Path
) -> None:
    """Unlike the patches of the test above, several threads share patches of 32³ voxels with 8 filters."""
    train = tiny_train(patch_shape=(32, 32, 32), batch_size=1, epochs=1, steps_per_epoch=2)
    network = tiny_network(base_filters=8)
    one, two = (run(network, train, toys, tmp_path / name) for name in ("one", "two"))
    for a, b in zip(one.model.get_weights(), two.model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_without_steps_per_epoch_an_epoch_uses_each_case_once(
    toys: list[StoredCase], tiny_network: MakeNetwork, tiny_train: MakeTrain, tmp_path: Path
) -> None:
    train = tiny_train(steps_per_epoch=None, epochs=1, schedule="constant")
    fitted = run(tiny_network(), train, toys, tmp_path)
    # Three cases in batches of two are two steps.
    assert Trainer(tiny_network(), train, fitted.model, toys[:3]).steps == 2
    assert fitted.history[0]["learning_rate"] == pytest.approx(0.01)


def test_the_model_has_no_outputs_of_deep_supervision(
    toys: list[StoredCase], tiny_network: MakeNetwork, tiny_train: MakeTrain, tmp_path: Path
) -> None:
    network = tiny_network(architecture="nnunet", deep_supervision="loss", depth=3)
    fitted = fit(
        network=network,
        train=tiny_train(epochs=1),
        cases=toys[:3],
        validation=toys[3:],
        state=tmp_path,
        on_epoch=lambda epoch, logs: None,
    )
    assert {"segmentation_loss", "segmentation_2_loss"} <= set(fitted.history[0])
    assert list(fitted.model.output) == ["segmentation"]


def test_training_starts_from_initial_weights(
    whole: tuple[FitResult, str, Path],
    toys: list[StoredCase],
    tiny_network: MakeNetwork,
    tiny_train: MakeTrain,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "model.keras"
    whole[0].model.save(file)
    still = tiny_train(learning_rate=1e-12, epochs=1)
    fitted = fit(
        network=tiny_network(),
        train=still,
        cases=toys[:3],
        validation=toys[3:],
        state=tmp_path,
        on_epoch=lambda epoch, logs: None,
        init=file,
    )
    assert mean_dice(fitted.model, toys[3:]) == pytest.approx(mean_dice(whole[0].model, toys[3:]), abs=1e-6)
    assert "layers with stored weights, 0 skipped" in capsys.readouterr().out


def test_an_error_of_a_case_is_raised_unchanged_and_not_wrapped_by_tensorflow(
    tmp_path: Path, tiny_network: MakeNetwork, tiny_train: MakeTrain
) -> None:
    cases = [write_toy(tmp_path, number) for number in range(5)]
    object.__setattr__(cases[1], "open", partial(fail, cases[1]))
    with pytest.raises(ValueError, match=r"^toy1: damaged at 1 mm$"):
        run(tiny_network(), tiny_train(), cases, tmp_path / "state")


def fail(case: StoredCase, spacing_mm: int) -> NoReturn:
    raise ValueError(f"{case.name}: damaged at {spacing_mm} mm")

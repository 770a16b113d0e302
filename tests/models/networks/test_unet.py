"""A network has the requested outputs, heads and precision."""

from collections.abc import Iterator

import keras
import numpy as np
import pytest

from glioseg.models.networks.blocks import ARCHITECTURES
from glioseg.models.networks.unet import without_deep_supervision
from tests.helpers.unets import build, noise, predict


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("depth", [2, 5])
def test_every_voxel_and_channel_has_a_probability(architecture: str, depth: int) -> None:
    probabilities = predict(build(architecture, depth=depth), noise(16, 32, 48))
    assert probabilities.shape == (1, 16, 32, 48, 3)
    assert probabilities.min() >= 0
    assert probabilities.max() <= 1
    assert np.ptp(probabilities) > 0


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_dropout_is_active_only_in_training(architecture: str) -> None:
    model = build(architecture, base_filters=16, dropout=0.5)  # dropout of two filters might drop none
    image = noise(4, 4, 4)
    np.testing.assert_array_equal(predict(model, image), predict(model, image))
    trained = np.asarray(model(image, training=True)["segmentation"])
    assert not np.allclose(trained, predict(model, image))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(("depth", "scales"), [(2, [1]), (3, [1, 2]), (4, [1, 2, 4]), (5, [1, 2, 4])])
def test_deep_supervision_by_loss_has_an_output_at_each_scale(
    architecture: str, depth: int, scales: list[int]
) -> None:
    predictions = build(architecture, depth=depth, deep_supervision="loss")(noise(16, 16, 32))
    expected = {
        "segmentation" if n == 1 else f"segmentation_{n}": (1, 16 // n, 16 // n, 32 // n, 3) for n in scales
    }
    assert {name: tuple(x.shape) for name, x in predictions.items()} == expected


@pytest.mark.parametrize(("supervision", "reaching"), [("sum", {0, 1, 2}), ("loss", {0}), ("none", {0})])
def test_which_heads_reach_the_segmentation(supervision: str, reaching: set[int]) -> None:
    model, image = build(depth=5, deep_supervision=supervision), noise(16, 16, 16)
    names = {layer.name for layer in model.layers}
    assert {n for n in range(5) if f"head{n}" in names} == ({0} if supervision == "none" else {0, 1, 2})
    for level in {0, 1, 2} if supervision != "none" else {0}:
        before = predict(model, image)
        bias = model.get_layer(f"head{level}").bias
        bias.assign(bias + 1.0)
        assert np.all(predict(model, image) > before) == (level in reaching)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_outcomes_come_from_the_deepest_level(architecture: str) -> None:
    model = build(architecture, outputs=("segmentation", "grade", "survival"))
    assert model.get_layer("grade_conv1").input is model.get_layer("survival_conv1").input
    assert model.get_layer("grade_conv1").input.shape[-1] == 4
    for name, bias in [("grade", np.log(3)), ("survival", 2.5)]:
        unit = model.get_layer(name)
        unit.kernel.assign(0 * unit.kernel)
        unit.bias.assign([bias])
    image = noise(8, 8, 8)
    np.testing.assert_allclose(predict(model, image, "grade"), [[0.75]], rtol=1e-6)  # 1 / (1 + 1/3)
    np.testing.assert_allclose(predict(model, image, "survival"), [[2.5]])


def test_outcome_heads_change_neither_initial_weights_nor_segmentation() -> None:
    image = noise(8, 8, 8)
    predictions = []
    for outputs in [("segmentation",), ("grade", "segmentation")]:
        keras.utils.set_random_seed(3)
        predictions.append(predict(build(outputs=outputs), image))
    np.testing.assert_array_equal(*predictions)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_outputs_stay_float32_and_no_global_policy_changes(architecture: str) -> None:
    before = keras.config.dtype_policy().name
    outputs = ("segmentation", "grade", "survival")
    model = build(architecture, depth=4, deep_supervision="loss", outputs=outputs, dtype="mixed_bfloat16")
    assert {x.dtype for x in model.output.values()} == {"float32"}
    assert model.get_layer("enc0_conv1").compute_dtype == "bfloat16"
    assert {weight.dtype for weight in model.weights} == {"float32"}
    assert keras.config.dtype_policy().name == before


def test_without_deep_supervision_it_is_the_same_network() -> None:
    model = build(depth=4, deep_supervision="loss", outputs=("segmentation", "survival"))
    slim = without_deep_supervision(model)
    assert set(slim.output) == {"segmentation", "survival"}
    coarse_heads = (4 * 3 + 3) + (8 * 3 + 3)
    assert slim.count_params() == model.count_params() - coarse_heads
    bias = model.get_layer("head0").bias
    bias.assign(bias + 1.0)
    for name in slim.output:
        np.testing.assert_array_equal(*(predict(m, noise(8, 8, 8), name) for m in (model, slim)))


def test_a_depth_below_2_is_rejected() -> None:
    with pytest.raises(ValueError, match=r"network\.depth: expected at least 2, got 1"):
        build(depth=1)


def test_outputs_without_segmentation_are_rejected() -> None:
    with pytest.raises(ValueError, match=r"train\.outputs: expected segmentation .*got \['grade'\]"):
        build(outputs=("grade",))


@pytest.fixture
def other_keras_settings() -> Iterator[None]:
    """Settings that a program set before it imports glioseg."""
    keras.config.set_image_data_format("channels_first")
    keras.config.set_floatx("float16")
    yield
    keras.config.set_image_data_format("channels_last")
    keras.config.set_floatx("float32")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_network_does_not_depend_on_the_settings_of_keras(
    architecture: str, request: pytest.FixtureRequest
) -> None:
    outputs = ("segmentation", "grade")
    expected = build(architecture, outputs=outputs, dropout=0.5)
    request.getfixturevalue("other_keras_settings")
    network = build(architecture, outputs=outputs, dropout=0.5)
    assert network.to_json() == expected.to_json()
    network.set_weights(expected.get_weights())
    np.testing.assert_array_equal(predict(network, noise(16, 16, 16)), predict(expected, noise(16, 16, 16)))

"""Every architecture has the size that its paper gives, and the outputs that are asked for."""

import keras
import numpy as np
import pytest

from glioseg.models.networks.blocks import ARCHITECTURES
from glioseg.models.networks.unet import build_unet, without_deep_supervision

HEAD = 2 * 3 + 3


def build(architecture: str = "seed", **changes: object) -> keras.Model:
    """A network of two filters and two levels; keyword arguments change it."""
    given = {"base_filters": 2, "depth": 2, "dropout": 0.0, "heads": "plain", "deep_supervision": "sum"}
    return build_unet(architecture=architecture, **(given | changes))


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 3, (1, *shape, 4)).astype(np.float32)


def answer(model: keras.Model, image: np.ndarray, output: str = "segmentation") -> np.ndarray:
    return np.asarray(model(image)[output])


def conv(size: int, inputs: int, outputs: int) -> int:
    """Kernel and bias."""
    return size**3 * inputs * outputs + outputs


def norm(channels: int) -> int:
    """Scale and shift."""
    return 2 * channels


def normed(size: int, inputs: int, outputs: int) -> int:
    return conv(size, inputs, outputs) + norm(outputs)


def test_parameters_of_the_smallest_seed_by_hand() -> None:
    encoder = normed(3, 4, 2) + 2 * normed(3, 2, 2) + normed(3, 2, 4) + 2 * normed(3, 4, 4)
    decoder = normed(3, 4, 2) + normed(3, 4, 2) + normed(1, 2, 2)
    assert build("seed").count_params() == encoder + decoder + HEAD


def test_parameters_of_the_smallest_isensee_by_hand() -> None:
    encoder = sum(conv(3, n, m) + 2 * conv(3, m, m) + 3 * norm(m) for n, m in [(4, 2), (2, 4)])
    decoder = normed(3, 4, 2) + normed(3, 4, 4) + normed(1, 4, 2)
    assert build("isensee").count_params() == encoder + decoder + HEAD


def test_parameters_of_the_smallest_nnunet_by_hand() -> None:
    encoder = normed(3, 4, 2) + normed(3, 2, 2) + normed(3, 2, 4) + normed(3, 4, 4)
    decoder = conv(2, 4, 2) + normed(3, 4, 2) + normed(3, 2, 2)
    assert build("nnunet").count_params() == encoder + decoder + HEAD


def test_nnunet_has_the_size_that_is_published() -> None:
    """Roy et al. 2023 (MedNeXt, arXiv:2303.09975) count 31.2 million parameters."""
    model = build("nnunet", base_filters=32, depth=6, deep_supervision="none")
    assert round(model.count_params() / 1e6, 1) == 31.2


def test_only_nnunet_caps_its_filters() -> None:
    for name, filters in [("nnunet", 320), ("isensee", 400)]:
        assert build(name, base_filters=200).get_layer("enc1_conv1").filters == filters


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("depth", [2, 5])
def test_it_answers_with_a_probability_for_each_voxel_and_channel(architecture: str, depth: int) -> None:
    probabilities = answer(build(architecture, depth=depth), noise(16, 32, 48))
    assert probabilities.shape == (1, 16, 32, 48, 3)
    assert probabilities.min() >= 0
    assert probabilities.max() <= 1
    assert np.ptp(probabilities) > 0


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_dropout_changes_answers_in_training_alone(architecture: str) -> None:
    model = build(architecture, base_filters=16, dropout=0.5)  # of two filters it may keep both
    image = noise(4, 4, 4)
    np.testing.assert_array_equal(answer(model, image), answer(model, image))
    trained = np.asarray(model(image, training=True)["segmentation"])
    assert not np.allclose(trained, answer(model, image))


def test_isensee_activates_before_each_convolution_and_adds_what_came_in() -> None:
    model = build("isensee")
    for name in ("enc1_conv1", "enc1_conv2"):
        before = model.get_layer(name).input
        assert before is model.get_layer(f"{name}_act").output
    for weight in model.get_layer("enc1_conv2").weights:
        weight.assign(0 * weight)
    both = keras.Model(model.input, [model.get_layer(name).output for name in ("enc1", "enc1_sum")])
    came_in, went_out = both(noise(4, 4, 4))
    np.testing.assert_array_equal(came_in, went_out)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(("depth", "scales"), [(2, [1]), (3, [1, 2]), (4, [1, 2, 4]), (5, [1, 2, 4])])
def test_a_loss_at_each_scale_needs_an_output_at_each(
    architecture: str, depth: int, scales: list[int]
) -> None:
    answers = build(architecture, depth=depth, deep_supervision="loss")(noise(16, 16, 32))
    expected = {
        "segmentation" if n == 1 else f"segmentation_{n}": (1, 16 // n, 16 // n, 32 // n, 3) for n in scales
    }
    assert {name: tuple(x.shape) for name, x in answers.items()} == expected


@pytest.mark.parametrize(("supervision", "reaching"), [("sum", {0, 1, 2}), ("loss", {0}), ("none", {0})])
def test_which_heads_reach_the_segmentation(supervision: str, reaching: set[int]) -> None:
    model, image = build(depth=5, deep_supervision=supervision), noise(16, 16, 16)
    names = {layer.name for layer in model.layers}
    assert {n for n in range(5) if f"head{n}" in names} == ({0} if supervision == "none" else {0, 1, 2})
    for level in {0, 1, 2} if supervision != "none" else {0}:
        before = answer(model, image)
        bias = model.get_layer(f"head{level}").bias
        bias.assign(bias + 1.0)
        assert np.all(answer(model, image) > before) == (level in reaching)


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
    np.testing.assert_allclose(answer(model, image, "grade"), [[0.75]], rtol=1e-6)  # 1 / (1 + 1/3)
    np.testing.assert_allclose(answer(model, image, "survival"), [[2.5]])


def test_outcomes_change_neither_the_first_weights_nor_the_answer() -> None:
    image = noise(8, 8, 8)
    answers = []
    for outputs in [("segmentation",), ("grade", "segmentation")]:
        keras.utils.set_random_seed(3)
        answers.append(answer(build(outputs=outputs), image))
    np.testing.assert_array_equal(*answers)


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
        np.testing.assert_array_equal(*(answer(m, noise(8, 8, 8), name) for m in (model, slim)))


def test_a_depth_without_a_skip_connection_is_refused() -> None:
    with pytest.raises(ValueError, match=r"network\.depth: expected at least 2, got 1"):
        build(depth=1)


def test_outputs_without_segmentation_are_refused() -> None:
    with pytest.raises(ValueError, match=r"train\.outputs: expected segmentation .*got \['grade'\]"):
        build(outputs=("grade",))

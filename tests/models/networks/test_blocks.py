"""The blocks of each architecture have the number of parameters and the order of layers of its paper."""

import keras
import numpy as np

from tests.helpers.unets import build, noise

HEAD = 2 * 3 + 3


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


def test_nnunet_has_the_published_number_of_parameters() -> None:
    """Roy et al. 2023 (MedNeXt, arXiv:2303.09975) count 31.2 million parameters."""
    model = build("nnunet", base_filters=32, depth=6, deep_supervision="none")
    assert round(model.count_params() / 1e6, 1) == 31.2


def test_only_nnunet_caps_its_filters() -> None:
    for name, filters in [("nnunet", 320), ("isensee", 400)]:
        assert build(name, base_filters=200).get_layer("enc1_conv1").filters == filters


def test_isensee_is_a_pre_activation_residual_block() -> None:
    model = build("isensee")
    for name in ("enc1_conv1", "enc1_conv2"):
        before = model.get_layer(name).input
        assert before is model.get_layer(f"{name}_act").output
    for weight in model.get_layer("enc1_conv2").weights:
        weight.assign(0 * weight)
    both = keras.Model(model.input, [model.get_layer(name).output for name in ("enc1", "enc1_sum")])
    block_input, block_sum = both(noise(4, 4, 4))
    np.testing.assert_array_equal(block_input, block_sum)

"""The network has the published size, and answers with probabilities on any grid that it can halve."""

import keras
import numpy as np
import pytest

from glioseg.nets.unet import build_unet


@pytest.mark.parametrize(("heads", "count"), [("plain", 4_653_261), ("normalised", 4_653_279)])
def test_it_has_as_many_parameters_as_the_original(heads: str, count: int) -> None:
    model = build_unet(base_filters=12, depth=5, dropout=0.3, heads=heads)
    assert model.count_params() == count


def test_parameters_of_the_smallest_network_by_hand() -> None:
    def conv(size: int, inputs: int, outputs: int) -> int:
        return size**3 * inputs * outputs + outputs + 2 * outputs  # kernel, bias, scale and shift

    encoder = conv(3, 4, 2) + 2 * conv(3, 2, 2) + conv(3, 2, 4) + 2 * conv(3, 4, 4)
    decoder = conv(3, 4, 2) + conv(3, 4, 2) + conv(1, 2, 2)
    head = 2 * 3 + 3
    assert build_unet(base_filters=2, depth=2, dropout=0.0).count_params() == encoder + decoder + head


@pytest.mark.parametrize("depth", [2, 3, 4, 5])
def test_it_answers_with_a_probability_for_each_voxel_and_region(depth: int) -> None:
    model = build_unet(base_filters=2, depth=depth, dropout=0.1)
    image = np.random.default_rng(0).normal(0, 3, (1, 16, 32, 48, 4)).astype(np.float32)
    answer = np.asarray(model(image))
    assert answer.shape == (1, 16, 32, 48, 3)
    assert answer.min() >= 0
    assert answer.max() <= 1
    assert np.ptp(answer) > 0


@pytest.mark.parametrize(("depth", "heads"), [(2, 1), (3, 2), (4, 3), (5, 3)])
def test_the_three_finest_decoder_levels_have_heads(depth: int, heads: int) -> None:
    names = {layer.name for layer in build_unet(base_filters=2, depth=depth, dropout=0.0).layers}
    assert {f"head{level}" for level in range(depth)} & names == {f"head{level}" for level in range(heads)}


def test_every_head_reaches_the_output() -> None:
    model = build_unet(base_filters=2, depth=4, dropout=0.0)
    image = np.random.default_rng(0).normal(size=(1, 8, 8, 8, 4)).astype(np.float32)
    for level in range(3):
        before = np.asarray(model(image))
        bias = model.get_layer(f"head{level}").bias
        bias.assign(bias + 1.0)
        assert np.all(np.asarray(model(image)) > before)


def test_the_output_stays_float32_and_no_global_policy_changes() -> None:
    before = keras.config.dtype_policy().name
    model = build_unet(base_filters=2, depth=2, dropout=0.0, dtype="mixed_bfloat16")
    assert model.output.dtype == "float32"
    assert model.get_layer("enc0").compute_dtype == "bfloat16"
    assert {weight.dtype for weight in model.weights} == {"float32"}
    assert keras.config.dtype_policy().name == before


def test_a_depth_without_a_skip_connection_is_refused() -> None:
    with pytest.raises(ValueError, match=r"network\.depth: expected at least 2, got 1"):
        build_unet(base_filters=2, depth=1, dropout=0.0)

"""The 3D U-Nets: one skeleton for every architecture, with the outputs that are asked for."""

from collections.abc import Sequence

import keras
from keras import KerasTensor as Tensor
from keras import layers

from glioseg.models.networks.blocks import ARCHITECTURES, LEAKS, Layers, Levels
from glioseg.params.sections import Architecture, DeepSupervision, Heads, Output

CHANNELS = 3
"""Channels of the segmentation: three regions, or three labels."""
HEADS = 3
"""Decoder levels, finest first, that have a segmentation head under deep supervision."""
ACTIVATIONS: dict[Output, str] = {"grade": "sigmoid", "survival": "linear"}
"""Activation of each output that is one number a case."""


def build_unet(
    *,
    architecture: Architecture,
    base_filters: int,
    depth: int,
    dropout: float,
    heads: Heads,
    deep_supervision: DeepSupervision,
    outputs: Sequence[Output] = ("segmentation",),
    channels: int = 4,
    dtype: str = "float32",
) -> keras.Model:
    """Build a network.

    Each level halves the grid and doubles the filters. Deep supervision trains the decoder's three
    finest levels: Lee et al. 2015, Deeply-supervised nets, arXiv:1409.5185; its sum of logits is that of
    Isensee et al. 2017, its loss at each scale that of nnU-Net.

    Args:
        architecture: a name of `blocks.ARCHITECTURES`.
        base_filters: filters at full resolution.
        depth: resolutions; the grid must be a multiple of 2^(depth - 1) voxels.
        dropout: share of feature maps that each encoder level drops in training.
        heads: `plain` 1³ convolutions, or `normalised` ones (instance norm and LeakyReLU follow); they
            also decide the slope of every LeakyReLU, see `blocks.LEAKS`.
        deep_supervision: `sum`: the heads' logits are upsampled and summed; `loss`: each head is an
            output of its own; `none`: one head, at full resolution.
        outputs: "segmentation", and "grade" or "survival" from the deepest level.
        channels: input channels.
        dtype: Keras dtype policy of the layers, e.g. "mixed_bfloat16"; every output stays float32.

    Returns:
        A model from (batch, D, H, W, channels) float32 to a dictionary: "segmentation" (batch, D, H, W,
        3), independent probabilities; with `loss`, "segmentation_2" and "segmentation_4", the same on
        grids of a half and a quarter, as far as the depth allows; "grade" (batch, 1), the probability
        of a low-grade glioma; "survival" (batch, 1), years.

    Raises:
        ValueError: depth below 2, or outputs without segmentation.

    >>> seed = dict(architecture="seed", base_filters=12, depth=5, dropout=0.3, deep_supervision="sum")
    >>> build_unet(**seed, heads="normalised").count_params()
    4653279
    >>> build_unet(**seed, heads="plain").count_params()
    4653261
    """
    if depth < 2:
        raise ValueError(f"network.depth: expected at least 2, got {depth}")
    if "segmentation" not in outputs:
        raise ValueError(f"train.outputs: expected segmentation among them, got {list(outputs)}")
    levels = ARCHITECTURES[architecture]
    on = Layers(dtype, dropout, LEAKS[heads])
    image = keras.Input((None, None, None, channels), name="image")
    encoded = _encode(on, levels, image, _filters(levels, base_filters, depth))
    logits = _logits(on, _decode(on, levels, encoded), heads, deep_supervision)
    answers = {name: _probabilities(x, name) for name, x in logits.items()}
    answers |= {name: _outcome(on, encoded[-1], name) for name in ACTIVATIONS if name in outputs}
    return keras.Model(image, answers, name=architecture)


def without_deep_supervision(model: keras.Model) -> keras.Model:
    """The same network, sharing its weights, without the outputs that serve training alone."""
    main = ("segmentation", *ACTIVATIONS)
    answers = {name: x for name, x in model.output.items() if name in main}
    return keras.Model(model.input, answers, name=model.name)


def _filters(levels: Levels, base_filters: int, depth: int) -> list[int]:
    """Filters of each level, finest first."""
    doubled = [base_filters * 2**level for level in range(depth)]
    return [min(n, levels.most_filters or n) for n in doubled]


def _encode(on: Layers, levels: Levels, x: Tensor, filters: Sequence[int]) -> list[Tensor]:
    """Feature maps of each level, finest first."""
    encoded = []
    for level, count in enumerate(filters):
        x = levels.encode(on, x, count, 1 if level == 0 else 2, f"enc{level}")
        encoded.append(x)
    return encoded


def _decode(on: Layers, levels: Levels, encoded: list[Tensor]) -> list[Tensor]:
    """Feature maps of each decoder level, finest first."""
    x = encoded[-1]
    decoded: list[Tensor] = []
    for level in reversed(range(len(encoded) - 1)):
        skip = encoded[level]
        x = levels.decode(on, x, skip, skip.shape[-1], f"dec{level}")
        decoded.insert(0, x)
    return decoded


def _logits(
    on: Layers, decoded: list[Tensor], heads: Heads, deep_supervision: DeepSupervision
) -> dict[str, Tensor]:
    """The logits of each segmentation output, finest first."""
    count = min(1 if deep_supervision == "none" else HEADS, len(decoded))
    each = {
        level: on.head(decoded[level], CHANNELS, heads, f"head{level}") for level in reversed(range(count))
    }
    if deep_supervision == "sum":
        each = {0: _sum(on, each)}
    return {f"segmentation_{2**level}" if level else "segmentation": x for level, x in sorted(each.items())}


def _sum(on: Layers, logits: dict[int, Tensor]) -> Tensor:
    """The sum at full resolution of logits by level, given from coarse to fine."""
    (_, total), *finer = logits.items()
    for level, x in finer:
        total = on.add(x, on.up(total, f"head{level}"), f"head{level}")
    return total


def _probabilities(logits: Tensor, output: str) -> Tensor:
    name = output.replace("segmentation", "probabilities")
    return layers.Activation("sigmoid", dtype="float32", name=name)(logits)


def _outcome(on: Layers, x: Tensor, name: Output) -> Tensor:
    """One number a case: three convolutions, the mean of each feature map, one unit."""
    for i in range(1, 4):
        x = on.conv_norm_act(x, x.shape[-1], f"{name}_conv{i}")
    x = layers.GlobalAveragePooling3D(dtype="float32", name=f"{name}_pool")(x)
    return layers.Dense(1, ACTIVATIONS[name], dtype="float32", name=name)(x)

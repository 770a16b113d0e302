"""Build a 3D U-Net: the blocks of an architecture, segmentation heads, and heads for grade and survival."""

from collections.abc import Sequence

import keras
from keras import KerasTensor as Tensor
from keras import layers

from glioseg.models.networks.blocks import (
    ARCHITECTURES,
    CHANNELS_LAST,
    LEAKY_RELU_SLOPES,
    Blocks,
    LayerFactory,
)
from glioseg.params.sections import Architecture, DeepSupervision, Heads, Output

SEGMENTATION_CHANNELS = 3
"""Three regions, or three labels."""
DEEP_SUPERVISION_LEVELS = 3
"""Decoder levels, finest first, that have a segmentation head under deep supervision."""
ACTIVATIONS: dict[Output, str] = {"grade": "sigmoid", "survival": "linear"}
"""Activation of the outputs that hold one number for each case."""


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
    """A U-Net, with the requested outputs.

    Each level halves the grid and doubles the filters. Deep supervision trains the decoder's three
    finest levels: Lee et al. 2015, Deeply-supervised nets, arXiv:1409.5185. The sum of logits follows
    Isensee et al. 2017, the loss at each scale nnU-Net.

    Args:
        architecture: a key of `blocks.ARCHITECTURES`.
        base_filters: filters at full resolution.
        depth: number of levels; the grid must be a multiple of 2^(depth - 1) voxels.
        dropout: share of feature maps that each encoder level drops in training.
        heads: `plain` 1³ convolutions, or `normalised` ones (instance norm and LeakyReLU follow); they
            also set the slope of every LeakyReLU, see `blocks.LEAKY_RELU_SLOPES`.
        deep_supervision: `sum`: the heads' logits are upsampled and summed; `loss`: each head is a
            separate output; `none`: one head, at full resolution.
        outputs: "segmentation", and optionally "grade" and "survival", from the deepest level.
        channels: input channels.
        dtype: Keras dtype policy of the layers, e.g. "mixed_bfloat16"; outputs are always float32.

    Returns:
        A model from (batch, D, H, W, channels) float32 to a dictionary: "segmentation" (batch, D, H, W,
        3), a sigmoid probability for each channel; with `loss`, "segmentation_2" and "segmentation_4", the
        same on grids of a half and a quarter, as far as the depth allows; "grade" (batch, 1), the probability
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
    blocks = ARCHITECTURES[architecture]
    make = LayerFactory(dtype, dropout, LEAKY_RELU_SLOPES[heads])
    image = keras.Input((None, None, None, channels), dtype="float32", name="image")
    encoded = _encode(make, blocks, image, _filters(blocks, base_filters, depth))
    logits = _logits(make, _decode(make, blocks, encoded), heads, deep_supervision)
    tensors = {name: _probabilities(x, name) for name, x in logits.items()}
    tensors |= {name: _outcome(make, encoded[-1], name) for name in ACTIVATIONS if name in outputs}
    return keras.Model(image, tensors, name=architecture)


def without_deep_supervision(model: keras.Model) -> keras.Model:
    """The same network with shared weights, without the outputs that only training needs."""
    main = ("segmentation", *ACTIVATIONS)
    tensors = {name: x for name, x in model.output.items() if name in main}
    return keras.Model(model.input, tensors, name=model.name)


def _filters(blocks: Blocks, base_filters: int, depth: int) -> list[int]:
    """Filters of each level, finest first."""
    doubled = [base_filters * 2**level for level in range(depth)]
    return [min(n, blocks.max_filters or n) for n in doubled]


def _encode(make: LayerFactory, blocks: Blocks, x: Tensor, filters: Sequence[int]) -> list[Tensor]:
    """Feature maps of each level, finest first."""
    encoded = []
    for level, count in enumerate(filters):
        x = blocks.encode(make, x, count, 1 if level == 0 else 2, f"enc{level}")
        encoded.append(x)
    return encoded


def _decode(make: LayerFactory, blocks: Blocks, encoded: list[Tensor]) -> list[Tensor]:
    """Feature maps of each decoder level, finest first."""
    x = encoded[-1]
    decoded: list[Tensor] = []
    for level in reversed(range(len(encoded) - 1)):
        skip = encoded[level]
        x = blocks.decode(make, x, skip, skip.shape[-1], f"dec{level}")
        decoded.insert(0, x)
    return decoded


def _logits(
    make: LayerFactory, decoded: list[Tensor], heads: Heads, deep_supervision: DeepSupervision
) -> dict[str, Tensor]:
    """The logits of each segmentation output, finest first."""
    count = min(1 if deep_supervision == "none" else DEEP_SUPERVISION_LEVELS, len(decoded))
    by_level = {
        level: make.head(decoded[level], SEGMENTATION_CHANNELS, heads, f"head{level}")
        for level in reversed(range(count))
    }
    if deep_supervision == "sum":
        by_level = {0: _sum(make, by_level)}
    return {
        f"segmentation_{2**level}" if level else "segmentation": x for level, x in sorted(by_level.items())
    }


def _sum(make: LayerFactory, logits: dict[int, Tensor]) -> Tensor:
    """The sum of logits at full resolution; `logits` lists the levels from coarse to fine."""
    (_, total), *finer = logits.items()
    for level, x in finer:
        total = make.add(x, make.upsample(total, f"head{level}"), f"head{level}")
    return total


def _probabilities(logits: Tensor, output: str) -> Tensor:
    name = output.replace("segmentation", "probabilities")
    return layers.Activation("sigmoid", dtype="float32", name=name)(logits)


def _outcome(make: LayerFactory, x: Tensor, name: Output) -> Tensor:
    """One number for each case: three convolutions, global average pooling, one unit."""
    for i in range(1, 4):
        x = make.conv_norm_act(x, x.shape[-1], f"{name}_conv{i}")
    x = layers.GlobalAveragePooling3D(CHANNELS_LAST, dtype="float32", name=f"{name}_pool")(x)
    return layers.Dense(1, ACTIVATIONS[name], dtype="float32", name=name)(x)

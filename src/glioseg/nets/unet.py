"""The 3D U-Net of Isensee et al. 2017, in Keras layers alone, so that any Keras backend runs it.

Isensee F, Kickingereder P, Wick W, Bendszus M, Maier-Hein KH: Brain Tumor Segmentation and Radiomics
Survival Prediction: Contribution to the BRATS 2017 Challenge. arXiv:1802.10508.
"""

from dataclasses import dataclass
from typing import Literal

import keras
from keras import layers

LEAK = 0.01
"""Negative slope of every LeakyReLU, as in the paper."""
HEADS = 3
"""Decoder levels, finest first, that have a segmentation head."""

Heads = Literal["plain", "normalised"]


@dataclass(frozen=True)
class _Blocks:
    """The building blocks, all in one dtype policy; every layer is named after its place."""

    dtype: str

    def conv(
        self, x: keras.KerasTensor, filters: int, name: str, *, size: int = 3, stride: int = 1
    ) -> keras.KerasTensor:
        """Convolution, instance norm, LeakyReLU."""
        x = layers.Conv3D(
            filters, size, stride, "same", kernel_initializer="he_normal", dtype=self.dtype, name=name
        )(x)
        x = layers.GroupNormalization(-1, epsilon=1e-5, dtype=self.dtype, name=f"{name}_norm")(x)
        return layers.LeakyReLU(LEAK, dtype=self.dtype, name=f"{name}_act")(x)

    def context(self, x: keras.KerasTensor, filters: int, dropout: float, name: str) -> keras.KerasTensor:
        """Convolution, spatial dropout, convolution, and the residual sum."""
        y = self.conv(x, filters, f"{name}_conv1")
        y = layers.SpatialDropout3D(dropout, dtype=self.dtype, name=f"{name}_dropout")(y)
        y = self.conv(y, filters, f"{name}_conv2")
        return layers.Add(dtype=self.dtype, name=f"{name}_sum")([x, y])

    def up(self, x: keras.KerasTensor, name: str) -> keras.KerasTensor:
        """Nearest-neighbour upsampling by two."""
        return layers.UpSampling3D(2, dtype=self.dtype, name=name)(x)

    def localise(
        self, x: keras.KerasTensor, skip: keras.KerasTensor, filters: int, name: str
    ) -> keras.KerasTensor:
        """Upsample and convolve, join the skip connection, then 3³ and 1³ convolutions."""
        x = self.conv(self.up(x, f"{name}_up"), filters, f"{name}_up_conv")
        x = layers.Concatenate(dtype=self.dtype, name=f"{name}_join")([skip, x])
        x = self.conv(x, filters, f"{name}_conv1")
        return self.conv(x, filters, f"{name}_conv2", size=1)

    def head(self, x: keras.KerasTensor, outputs: int, kind: Heads, name: str) -> keras.KerasTensor:
        """One logit a voxel and output channel."""
        if kind == "normalised":
            return self.conv(x, outputs, name, size=1)
        return layers.Conv3D(outputs, 1, dtype=self.dtype, name=name)(x)


def build_unet(
    *,
    base_filters: int,
    depth: int,
    dropout: float,
    channels: int = 4,
    outputs: int = 3,
    heads: Heads = "plain",
    dtype: str = "float32",
) -> keras.Model:
    """Build the network.

    Each level halves the grid with a stride-2 convolution and doubles the filters. The three finest
    levels of the decoder have segmentation heads, whose logits are upsampled and summed: deep
    supervision without extra losses.

    Args:
        base_filters: filters at full resolution.
        depth: resolutions; the grid must be a multiple of 2^(depth - 1) voxels.
        dropout: share of feature maps that each context module drops in training.
        channels: input channels.
        outputs: output channels, each with a sigmoid of its own.
        heads: `plain` 1³ convolutions, or `normalised` ones (instance norm and LeakyReLU before the
            sum, as some published versions have it).
        dtype: Keras dtype policy of the layers, e.g. "mixed_bfloat16"; the output stays float32.

    Returns:
        A model from (batch, D, H, W, channels) float32 to (batch, D, H, W, outputs) probabilities.

    Raises:
        ValueError: depth below 2.

    >>> build_unet(base_filters=12, depth=5, dropout=0.3).count_params()
    4653261
    """
    if depth < 2:
        raise ValueError(f"network.depth: expected at least 2, got {depth}")
    blocks = _Blocks(dtype)
    image = keras.Input((None, None, None, channels), name="image")
    levels = _encode(blocks, image, base_filters, depth, dropout)
    decoded = _decode(blocks, levels, base_filters)
    logits = _sum_heads(blocks, decoded[:HEADS], outputs, heads)
    output = layers.Activation("sigmoid", dtype="float32", name="probabilities")(logits)
    return keras.Model(image, output, name="isensee2017")


def _encode(
    blocks: _Blocks, x: keras.KerasTensor, base_filters: int, depth: int, dropout: float
) -> list[keras.KerasTensor]:
    """Feature maps of each level, finest first."""
    levels = []
    for level in range(depth):
        filters, name = base_filters * 2**level, f"enc{level}"
        x = blocks.conv(x, filters, name, stride=1 if level == 0 else 2)
        x = blocks.context(x, filters, dropout, name)
        levels.append(x)
    return levels


def _decode(blocks: _Blocks, levels: list[keras.KerasTensor], base_filters: int) -> list[keras.KerasTensor]:
    """Feature maps of each decoder level, finest first."""
    x = levels[-1]
    decoded: list[keras.KerasTensor] = []
    for level in reversed(range(len(levels) - 1)):
        x = blocks.localise(x, levels[level], base_filters * 2**level, f"dec{level}")
        decoded.insert(0, x)
    return decoded


def _sum_heads(
    blocks: _Blocks, decoded: list[keras.KerasTensor], outputs: int, kind: Heads
) -> keras.KerasTensor:
    """Sum the heads' logits from coarse to fine, upsampling on the way."""
    total: keras.KerasTensor | None = None
    for level in reversed(range(len(decoded))):
        logits = blocks.head(decoded[level], outputs, kind, f"head{level}")
        if total is not None:
            total = blocks.up(total, f"head{level}_up")
            logits = layers.Add(dtype=blocks.dtype, name=f"head{level}_sum")([logits, total])
        total = logits
    return total

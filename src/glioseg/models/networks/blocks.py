"""What the architectures do at one level of the U-Net, in Keras layers alone."""

from collections.abc import Callable
from dataclasses import dataclass

from keras import KerasTensor as Tensor
from keras import layers

from glioseg.params.sections import Architecture, Heads

LEAKS: dict[Heads, float] = {"plain": 0.01, "normalised": 0.3}
"""Negative slope of every LeakyReLU: the papers', or Keras' own default, which the seed has. Where heads
end in one too, it must let logits fall below 0."""


@dataclass(frozen=True)
class Layers:
    """The layers that the architectures share, in one dtype policy and named after their place.

    `dtype`: Keras dtype policy; `dropout`: share of feature maps that an encoder level drops in training;
    `leak`: negative slope of every LeakyReLU.
    """

    dtype: str
    dropout: float
    leak: float

    def conv(self, x: Tensor, filters: int, name: str, *, size: int = 3, stride: int = 1) -> Tensor:
        """A convolution and nothing else."""
        return layers.Conv3D(
            filters, size, stride, "same", kernel_initializer="he_normal", dtype=self.dtype, name=name
        )(x)

    def norm_act(self, x: Tensor, name: str) -> Tensor:
        """Instance norm, LeakyReLU."""
        x = layers.GroupNormalization(-1, epsilon=1e-5, dtype=self.dtype, name=f"{name}_norm")(x)
        return layers.LeakyReLU(self.leak, dtype=self.dtype, name=f"{name}_act")(x)

    def conv_norm_act(self, x: Tensor, filters: int, name: str, *, size: int = 3, stride: int = 1) -> Tensor:
        """Convolution, instance norm, LeakyReLU."""
        return self.norm_act(self.conv(x, filters, name, size=size, stride=stride), name)

    def norm_act_conv(self, x: Tensor, filters: int, name: str) -> Tensor:
        """Instance norm, LeakyReLU, convolution."""
        return self.conv(self.norm_act(x, name), filters, name)

    def drop(self, x: Tensor, name: str) -> Tensor:
        """Spatial dropout: whole feature maps."""
        return layers.SpatialDropout3D(self.dropout, dtype=self.dtype, name=f"{name}_dropout")(x)

    def add(self, x: Tensor, y: Tensor, name: str) -> Tensor:
        """The sum."""
        return layers.Add(dtype=self.dtype, name=f"{name}_sum")([x, y])

    def join(self, x: Tensor, y: Tensor, name: str) -> Tensor:
        """The feature maps of both."""
        return layers.Concatenate(dtype=self.dtype, name=f"{name}_join")([x, y])

    def up(self, x: Tensor, name: str) -> Tensor:
        """Nearest-neighbour upsampling by two."""
        return layers.UpSampling3D(2, dtype=self.dtype, name=f"{name}_up")(x)

    def up_conv(self, x: Tensor, filters: int, name: str) -> Tensor:
        """Upsampling by two that is learnt: a transposed convolution."""
        return layers.Conv3DTranspose(
            filters, 2, 2, kernel_initializer="he_normal", dtype=self.dtype, name=f"{name}_up"
        )(x)

    def head(self, x: Tensor, channels: int, kind: Heads, name: str) -> Tensor:
        """One logit a voxel and output channel."""
        if kind == "normalised":
            return self.conv_norm_act(x, channels, name, size=1)
        return layers.Conv3D(channels, 1, dtype=self.dtype, name=name)(x)


@dataclass(frozen=True)
class Levels:
    """How an architecture encodes and decodes one level.

    `encode(layers, x, filters, stride, name)` takes the finer level; `decode(layers, x, skip, filters,
    name)` takes the coarser decoder level and the encoder's level; `most_filters` caps the filters.
    """

    encode: Callable[[Layers, Tensor, int, int, str], Tensor]
    decode: Callable[[Layers, Tensor, Tensor, int, str], Tensor]
    most_filters: int | None = None


def encode_seed(on: Layers, x: Tensor, filters: int, stride: int, name: str) -> Tensor:
    """A strided convolution, then convolution, dropout, convolution and the residual sum."""
    x = on.conv_norm_act(x, filters, name, stride=stride)
    y = on.drop(on.conv_norm_act(x, filters, f"{name}_conv1"), name)
    return on.add(x, on.conv_norm_act(y, filters, f"{name}_conv2"), name)


def encode_isensee(on: Layers, x: Tensor, filters: int, stride: int, name: str) -> Tensor:
    """The same with pre-activation; the sum is normalised and activated before it leaves the level."""
    x = on.conv(x, filters, name, stride=stride)
    y = on.drop(on.norm_act_conv(x, filters, f"{name}_conv1"), name)
    y = on.norm_act_conv(y, filters, f"{name}_conv2")
    return on.norm_act(on.add(x, y, name), f"{name}_sum")


def encode_nnunet(on: Layers, x: Tensor, filters: int, stride: int, name: str) -> Tensor:
    """Two convolutions, the first of them strided."""
    x = on.conv_norm_act(x, filters, f"{name}_conv1", stride=stride)
    return on.conv_norm_act(on.drop(x, name), filters, f"{name}_conv2")


def decode_seed(on: Layers, x: Tensor, skip: Tensor, filters: int, name: str) -> Tensor:
    """Localisation whose first convolution halves the joined feature maps."""
    return _localise(on, x, skip, filters, filters, name)


def decode_isensee(on: Layers, x: Tensor, skip: Tensor, filters: int, name: str) -> Tensor:
    """Localisation whose second convolution halves the joined feature maps."""
    return _localise(on, x, skip, 2 * filters, filters, name)


def _localise(on: Layers, x: Tensor, skip: Tensor, between: int, filters: int, name: str) -> Tensor:
    """Upsample and convolve, join the skip connection, then 3³ and 1³ convolutions."""
    x = on.conv_norm_act(on.up(x, name), filters, f"{name}_up_conv")
    x = on.conv_norm_act(on.join(skip, x, name), between, f"{name}_conv1")
    return on.conv_norm_act(x, filters, f"{name}_conv2", size=1)


def decode_nnunet(on: Layers, x: Tensor, skip: Tensor, filters: int, name: str) -> Tensor:
    """Transposed convolution, join the skip connection, two convolutions."""
    x = on.join(skip, on.up_conv(x, filters, name), name)
    x = on.conv_norm_act(x, filters, f"{name}_conv1")
    return on.conv_norm_act(x, filters, f"{name}_conv2")


ARCHITECTURES: dict[Architecture, Levels] = {
    "seed": Levels(encode_seed, decode_seed),
    "isensee": Levels(encode_isensee, decode_isensee),
    "nnunet": Levels(encode_nnunet, decode_nnunet, most_filters=320),
}
"""By name.

seed: Isensee et al. 2017 as widely rebuilt in Keras.
isensee: Isensee F, Kickingereder P, Wick W, Bendszus M, Maier-Hein KH: Brain Tumor Segmentation and
Radiomics Survival Prediction: Contribution to the BRATS 2017 Challenge. arXiv:1802.10508.
nnunet: Isensee F, Jaeger PF, Kohl SAA, Petersen J, Maier-Hein KH: nnU-Net: a self-configuring method for
deep learning-based biomedical image segmentation. Nature Methods 18, 2021 (its plain 3D network; it drops
nothing, which is dropout 0).
"""

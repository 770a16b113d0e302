"""Encoder and decoder blocks of the three U-Net architectures, in Keras layers alone."""

from collections.abc import Callable
from dataclasses import dataclass

from keras import KerasTensor as Tensor
from keras import layers

from glioseg.params.sections import Architecture, Heads

LEAKY_RELU_SLOPES: dict[Heads, float] = {"plain": 0.01, "normalised": 0.3}
"""Negative slope of every LeakyReLU: 0.01 in the papers, 0.3 (Keras' default) in the seed. A head that ends
in a LeakyReLU needs the larger slope, because its logits must be able to fall below 0."""

CHANNELS_LAST = "channels_last"
"""The data format of every layer: without it, a layer takes the format that the user set for Keras."""


@dataclass(frozen=True)
class LayerFactory:
    """Creates the layers that the architectures share, with one dtype policy and named by level.

    Model files store the layer names, and weight transfer matches layers by name: do not change the names.

    `dtype`: Keras dtype policy; `dropout`: share of feature maps that an encoder level drops in training;
    `negative_slope`: of every LeakyReLU.
    """

    dtype: str
    dropout: float
    negative_slope: float

    def conv(self, x: Tensor, filters: int, name: str, *, size: int = 3, stride: int = 1) -> Tensor:
        """A convolution without norm or activation."""
        return layers.Conv3D(
            filters,
            size,
            stride,
            "same",
            CHANNELS_LAST,
            kernel_initializer="he_normal",
            dtype=self.dtype,
            name=name,
        )(x)

    def norm_act(self, x: Tensor, name: str) -> Tensor:
        """Instance norm and LeakyReLU."""
        x = layers.GroupNormalization(-1, epsilon=1e-5, dtype=self.dtype, name=f"{name}_norm")(x)
        return layers.LeakyReLU(self.negative_slope, dtype=self.dtype, name=f"{name}_act")(x)

    def conv_norm_act(self, x: Tensor, filters: int, name: str, *, size: int = 3, stride: int = 1) -> Tensor:
        """Convolution, instance norm, LeakyReLU."""
        return self.norm_act(self.conv(x, filters, name, size=size, stride=stride), name)

    def norm_act_conv(self, x: Tensor, filters: int, name: str) -> Tensor:
        """Instance norm, LeakyReLU, convolution."""
        return self.conv(self.norm_act(x, name), filters, name)

    def spatial_dropout(self, x: Tensor, name: str) -> Tensor:
        """Spatial dropout, which drops whole feature maps."""
        return layers.SpatialDropout3D(self.dropout, CHANNELS_LAST, dtype=self.dtype, name=f"{name}_dropout")(
            x
        )

    def add(self, x: Tensor, y: Tensor, name: str) -> Tensor:
        """The sum of two tensors."""
        return layers.Add(dtype=self.dtype, name=f"{name}_sum")([x, y])

    def concatenate(self, x: Tensor, y: Tensor, name: str) -> Tensor:
        """The feature maps of both tensors."""
        return layers.Concatenate(dtype=self.dtype, name=f"{name}_join")([x, y])

    def upsample(self, x: Tensor, name: str) -> Tensor:
        """Nearest-neighbour upsampling by two."""
        return layers.UpSampling3D(2, CHANNELS_LAST, dtype=self.dtype, name=f"{name}_up")(x)

    def transposed_conv(self, x: Tensor, filters: int, name: str) -> Tensor:
        """Learned upsampling by two: a transposed convolution."""
        return layers.Conv3DTranspose(
            filters,
            2,
            2,
            data_format=CHANNELS_LAST,
            kernel_initializer="he_normal",
            dtype=self.dtype,
            name=f"{name}_up",
        )(x)

    def head(self, x: Tensor, channels: int, kind: Heads, name: str) -> Tensor:
        """A segmentation head: one logit for each voxel and channel."""
        if kind == "normalised":
            return self.conv_norm_act(x, channels, name, size=1)
        return layers.Conv3D(channels, 1, data_format=CHANNELS_LAST, dtype=self.dtype, name=name)(x)


@dataclass(frozen=True)
class Blocks:
    """The encoder and decoder block of an architecture, one of each for every level.

    `encode(make, x, filters, stride, name)` takes the features of the next finer level;
    `decode(make, x, skip, filters, name)` takes the features of the next coarser decoder level and the skip
    connection; `max_filters` caps the filters of a level.
    """

    encode: Callable[[LayerFactory, Tensor, int, int, str], Tensor]
    decode: Callable[[LayerFactory, Tensor, Tensor, int, str], Tensor]
    max_filters: int | None = None


def encode_seed(make: LayerFactory, x: Tensor, filters: int, stride: int, name: str) -> Tensor:
    """Strided convolution, then a residual block: convolution, dropout, convolution."""
    x = make.conv_norm_act(x, filters, name, stride=stride)
    y = make.spatial_dropout(make.conv_norm_act(x, filters, f"{name}_conv1"), name)
    return make.add(x, make.conv_norm_act(y, filters, f"{name}_conv2"), name)


def encode_isensee(make: LayerFactory, x: Tensor, filters: int, stride: int, name: str) -> Tensor:
    """The block of `encode_seed` with pre-activation; norm and activation follow the residual sum."""
    x = make.conv(x, filters, name, stride=stride)
    y = make.spatial_dropout(make.norm_act_conv(x, filters, f"{name}_conv1"), name)
    y = make.norm_act_conv(y, filters, f"{name}_conv2")
    return make.norm_act(make.add(x, y, name), f"{name}_sum")


def encode_nnunet(make: LayerFactory, x: Tensor, filters: int, stride: int, name: str) -> Tensor:
    """Strided convolution, dropout, convolution."""
    x = make.conv_norm_act(x, filters, f"{name}_conv1", stride=stride)
    return make.conv_norm_act(make.spatial_dropout(x, name), filters, f"{name}_conv2")


def decode_seed(make: LayerFactory, x: Tensor, skip: Tensor, filters: int, name: str) -> Tensor:
    """Localisation module whose first convolution halves the concatenated feature maps."""
    return _localise(make, x, skip, filters, name, hidden_filters=filters)


def decode_isensee(make: LayerFactory, x: Tensor, skip: Tensor, filters: int, name: str) -> Tensor:
    """Localisation module whose second convolution halves the concatenated feature maps."""
    return _localise(make, x, skip, filters, name, hidden_filters=2 * filters)


def _localise(
    make: LayerFactory, x: Tensor, skip: Tensor, filters: int, name: str, *, hidden_filters: int
) -> Tensor:
    """Upsampling and convolution, concatenation with the skip connection, 3³ and 1³ convolution."""
    x = make.conv_norm_act(make.upsample(x, name), filters, f"{name}_up_conv")
    x = make.conv_norm_act(make.concatenate(skip, x, name), hidden_filters, f"{name}_conv1")
    return make.conv_norm_act(x, filters, f"{name}_conv2", size=1)


def decode_nnunet(make: LayerFactory, x: Tensor, skip: Tensor, filters: int, name: str) -> Tensor:
    """Transposed convolution, concatenation with the skip connection, two convolutions."""
    x = make.concatenate(skip, make.transposed_conv(x, filters, name), name)
    x = make.conv_norm_act(x, filters, f"{name}_conv1")
    return make.conv_norm_act(x, filters, f"{name}_conv2")


ARCHITECTURES: dict[Architecture, Blocks] = {
    "seed": Blocks(encode_seed, decode_seed),
    "isensee": Blocks(encode_isensee, decode_isensee),
    "nnunet": Blocks(encode_nnunet, decode_nnunet, max_filters=320),
}
"""Blocks of each value of `network.architecture`.

seed: Isensee et al. 2017 as widely rebuilt in Keras.
isensee: Isensee F, Kickingereder P, Wick W, Bendszus M, Maier-Hein KH: Brain Tumor Segmentation and
Radiomics Survival Prediction: Contribution to the BRATS 2017 Challenge. arXiv:1802.10508.
nnunet: Isensee F, Jaeger PF, Kohl SAA, Petersen J, Maier-Hein KH: nnU-Net: a self-configuring method for
deep learning-based biomedical image segmentation. Nature Methods 18, 2021 (its plain 3D network, without
dropout: set `network.dropout` to 0).
"""

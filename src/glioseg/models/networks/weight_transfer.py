"""Initialise a network with the weights of a trained one, layer by layer, where their shapes fit."""

from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

from glioseg.models.networks.keras_file import ModelError, load_network

COPY_NOISE = 0.2
"""Standard deviation of the noise added to copied feature maps, relative to that of their weights: without
noise the copies would get equal gradients and stay equal."""
SEED = 5

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Transfer:
    """Names of the layers with stored weights and of the widened ones among them; skipped layer → reason."""

    transferred: list[str]
    widened: list[str]
    skipped: dict[str, str]

    def __str__(self) -> str:
        text = f"{len(self.transferred)} layers with stored weights, {len(self.skipped)} skipped"
        if self.widened:
            text += f"; {len(self.widened)} widened"
        return text + "".join(f"\n  {name}: {reason}" for name, reason in self.skipped.items())


def transfer_weights(model: keras.Model, file: Path) -> Transfer:
    """Copy the weights of every layer that a stored network has under the same name.

    A layer fits if its shapes are equal, or if its numbers of feature maps are multiples of the stored ones.
    Then each stored feature map is repeated to fill the layer, and weights are divided by the number of
    copies of their input: the wider network begins with about the same predictions (Chen et al. 2016,
    Net2Net, arXiv:1511.05641).

    Args:
        model: the network to initialise; changed in place.
        file: a `.keras` file.

    Returns:
        The layers that have stored weights now, and those that do not.

    Raises:
        ModelError: the file is not a network, or no layer fits.
    """
    try:
        source = load_network(file, "float32")
    except ModelError as error:
        raise ModelError(f"train.init_from: {error}") from None
    stored_layers = {layer.name: layer for layer in source.layers}
    transfer, rng = Transfer([], [], {}), np.random.default_rng(SEED)
    for layer in (layer for layer in model.layers if layer.weights):
        shapes = _shapes(layer)
        stored = _shapes(stored_layers[layer.name]) if layer.name in stored_layers else None
        if stored is None or not _fits(stored, shapes):
            found = "no such layer" if stored is None else f"shapes {stored}"
            transfer.skipped[layer.name] = f"expected shapes {shapes}, got {found}"
            continue
        weights = stored_layers[layer.name].get_weights()
        if stored != shapes:
            weights = [_widened(w, shape, layer, rng) for w, shape in zip(weights, shapes, strict=True)]
            transfer.widened.append(layer.name)
        layer.set_weights(weights)
        transfer.transferred.append(layer.name)
    if not transfer.transferred:
        raise ModelError(f"train.init_from: {file}: expected a layer that fits, got none")
    return transfer


def _shapes(layer: keras.Layer) -> list[Shape]:
    return [tuple(weight.shape) for weight in layer.weights]


def _fits(stored: list[Shape], wanted: list[Shape]) -> bool:
    """Whether the last two axes (feature maps) are multiples of the stored ones, and the others equal."""
    return len(stored) == len(wanted) and all(
        len(old) == len(new)
        and old[:-2] == new[:-2]
        and all(n % o == 0 for o, n in zip(old[-2:], new[-2:], strict=True))
        for old, new in zip(stored, wanted, strict=True)
    )


def _widened(
    weight: Float32[NDArray, "..."], shape: Shape, layer: keras.Layer, rng: np.random.Generator
) -> Float32[NDArray, "..."]:
    """Weights with repeated feature maps; copies are adjacent, so that concatenated maps keep their order."""
    copies = [new // old for old, new in zip(weight.shape, shape, strict=True)]
    wide = weight
    for axis, count in enumerate(copies):
        wide = np.repeat(wide, count, axis)
    if len(shape) > 1:
        wide = wide / copies[-1 if isinstance(layer, keras.layers.Conv3DTranspose) else -2]
        wide = wide + rng.normal(0, COPY_NOISE * wide.std(), shape)
    return wide.astype(np.float32)

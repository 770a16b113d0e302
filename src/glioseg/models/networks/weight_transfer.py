"""Start from a trained network: its weights are taken layer by layer, as far as they fit."""

from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

from glioseg.models.networks.keras_file import ModelError, load_network

TELL_APART = 0.2
"""Deviation of what is added to the weights of feature maps that begin as copies, as a share of the weights'
own: without it they would stay copies."""
SEED = 5

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Transfer:
    """Which layers found weights, by name: `taken`, `widened` among them, and `left` with the reason."""

    taken: list[str]
    widened: list[str]
    left: dict[str, str]

    def __str__(self) -> str:
        text = f"{len(self.taken)} layers taken, {len(self.left)} left as they were"
        if self.widened:
            text += f"; {len(self.widened)} of the taken are wider here"
        return text + "".join(f"\n  {name}: {why}" for name, why in self.left.items())


def take_weights(model: keras.Model, file: Path) -> Transfer:
    """Take the weights of every layer that a stored network has under the same name.

    Shapes are the same, or here each feature map of the stored network becomes as many copies as fill the
    layer, which together count as much as the one did: a wider network that begins with about the same
    answers (Chen et al. 2016, Net2Net, arXiv:1511.05641).

    Args:
        model: the network to fill.
        file: a `.keras` file.

    Raises:
        ModelError: the file holds no network, or no layer fits.
    """
    try:
        source = load_network(file, "float32")
    except ModelError as error:
        raise ModelError(f"train.init_from: {error}") from None
    known = {layer.name: layer for layer in source.layers}
    transfer, rng = Transfer([], [], {}), np.random.default_rng(SEED)
    for layer in (layer for layer in model.layers if layer.weights):
        ours = _shapes(layer)
        theirs = _shapes(known[layer.name]) if layer.name in known else None
        if theirs is None or not _fits(theirs, ours):
            found = "no such layer" if theirs is None else f"shapes {theirs}"
            transfer.left[layer.name] = f"expected shapes {ours}, got {found}"
            continue
        taken = known[layer.name].get_weights()
        if theirs != ours:
            taken = [_widened(w, shape, layer, rng) for w, shape in zip(taken, ours, strict=True)]
            transfer.widened.append(layer.name)
        layer.set_weights(taken)
        transfer.taken.append(layer.name)
    if not transfer.taken:
        raise ModelError(f"train.init_from: {file}: expected a layer that fits, got none")
    return transfer


def _shapes(layer: keras.Layer) -> list[Shape]:
    return [tuple(weight.shape) for weight in layer.weights]


def _fits(theirs: list[Shape], ours: list[Shape]) -> bool:
    """Whether numbers of feature maps, which the last two axes hold, are multiples, and all else equal."""
    return len(theirs) == len(ours) and all(
        len(stored) == len(here)
        and stored[:-2] == here[:-2]
        and all(new % old == 0 for old, new in zip(stored[-2:], here[-2:], strict=True))
        for stored, here in zip(theirs, ours, strict=True)
    )


def _widened(
    weight: Float32[NDArray, "..."], shape: Shape, layer: keras.Layer, rng: np.random.Generator
) -> Float32[NDArray, "..."]:
    """Copies of feature maps lie next to each other, so that joined maps keep their order."""
    times = [new // old for old, new in zip(weight.shape, shape, strict=True)]
    wide = weight
    for axis, count in enumerate(times):
        wide = np.repeat(wide, count, axis)
    if len(shape) > 1:
        wide = wide / times[-1 if isinstance(layer, keras.layers.Conv3DTranspose) else -2]
        wide = wide + rng.normal(0, TELL_APART * wide.std(), shape)
    return wide.astype(np.float32)

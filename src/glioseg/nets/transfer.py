"""Start from a trained network: its weights are taken layer by layer, as far as they fit."""

from dataclasses import dataclass
from pathlib import Path

import keras


@dataclass(frozen=True)
class Transfer:
    """Names of the layers whose weights were taken, and of the others with the reason."""

    taken: list[str]
    left: dict[str, str]

    def __str__(self) -> str:
        text = f"{len(self.taken)} layers taken, {len(self.left)} left as they were"
        return text + "".join(f"\n  {name}: {why}" for name, why in self.left.items())


def take_weights(model: keras.Model, file: Path) -> Transfer:
    """Take the weights of every layer that a stored network has under the same name and shapes.

    Args:
        model: the network to fill.
        file: a `.keras` file.

    Raises:
        ValueError: the file holds no network, or no layer fits.
    """
    try:
        source = keras.saving.load_model(file, compile=False, safe_mode=True)
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(f"train.init_from: {file}: not a Keras model: {error}") from None
    known = {layer.name: layer for layer in source.layers}
    taken, left = [], {}
    for layer in (layer for layer in model.layers if layer.weights):
        ours = [tuple(weight.shape) for weight in layer.weights]
        theirs = [tuple(w.shape) for w in known[layer.name].weights] if layer.name in known else None
        if ours == theirs:
            layer.set_weights(known[layer.name].get_weights())
            taken.append(layer.name)
        else:
            found = "no such layer" if theirs is None else f"shapes {theirs}"
            left[layer.name] = f"expected shapes {ours}, got {found}"
    if not taken:
        raise ValueError(f"train.init_from: {file}: expected a layer that fits, got none")
    return Transfer(taken, left)

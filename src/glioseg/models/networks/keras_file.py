"""Read a `.keras` file in the precision that this machine computes fast."""

import json
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from glioseg.core.errors import GliosegError

if TYPE_CHECKING:
    import keras

    from glioseg.models.networks.precision import Precision

MODEL_FILE = "model.keras"
MEMBER = re.compile(r"model_(\d+)\.keras")

NOT_KERAS = (OSError, ValueError, TypeError, KeyError, zipfile.BadZipFile)
"""What Keras raises for a file that is no network, was cut, or lacks a part."""

FINEST = ("enc0", "dec0")
"""What the names of layers at full resolution begin with, see `unet.build_unet`."""

IMAGE = '["image", 0, 0]'
"""How the configuration of a layer says that it reads the network's input."""

WEIGHTS = "model.weights.h5"
"""Where Keras keeps the weights in its file."""


class ModelError(GliosegError):
    """A model folder that cannot be used; the message names it."""


def load_network(file: Path, precision: "Precision" = "auto") -> "keras.Model":
    """Load a network to predict with. The dtype policy in its file is only a record of its training.

    In bfloat16 run the 3³ convolutions at full resolution, except the one that reads the image: they take
    most of the time. Everything else is float32, and so are all feature maps. With bfloat16 throughout,
    labels differ from those of float32 in up to .8 % of the tumour's voxels; so, in up to .2 %.

    Args:
        file: a Keras file, of which no code is run.
        precision: of these convolutions; "auto": bfloat16 where this machine computes it fast.

    Returns:
        The network, not compiled.

    Raises:
        ModelError: the file is not there, or is no Keras model.
    """
    from glioseg.models.networks.precision import (
        dtype_policy,  # TensorFlow takes 12 s, and not every caller needs it
    )

    try:
        return _read(file, dtype_policy(precision))
    except NOT_KERAS as error:
        raise ModelError(f"{file}: not a Keras model: {error}") from None


def _read(file: Path, policy: str) -> "keras.Model":
    import keras

    with zipfile.ZipFile(file) as archive, TemporaryDirectory() as folder:
        config = json.loads(archive.read("config.json"))
        config.pop("compile_config", None)
        for layer in config["config"]["layers"]:
            layer["config"]["dtype"] = policy if _takes_time(layer) else "float32"
        model = keras.saving.deserialize_keras_object(config, safe_mode=True)
        # Read within a compressed archive, the weights would be inflated again at every seek.
        model.load_weights(archive.extract(WEIGHTS, folder))
    return model


def _takes_time(layer: dict[str, Any]) -> bool:
    """Whether the layer with this configuration is a 3³ convolution of full-resolution feature maps."""
    return (
        layer["class_name"] == "Conv3D"
        and layer["config"]["name"].startswith(FINEST)
        and layer["config"]["kernel_size"] == [3, 3, 3]
        and IMAGE not in json.dumps(layer["inbound_nodes"])
    )


def save_networks(folder: Path, models: Sequence["keras.Model"]) -> None:
    """Write networks: `model.keras` and, of more members, `model_1.keras`, …."""
    for number, model in enumerate(models):
        model.save(folder / (f"model_{number}.keras" if number else MODEL_FILE))


def load_networks(folder: Path) -> tuple["keras.Model", ...]:
    """Load networks, as `save_networks` writes them, in the precision that this machine computes fast.

    Raises:
        ModelError: a file that is not there, or is not a network.
    """
    numbers = sorted(int(match[1]) for path in folder.iterdir() if (match := MEMBER.fullmatch(path.name)))
    files = [folder / MODEL_FILE, *(folder / f"model_{number}.keras" for number in numbers)]
    return tuple(load_network(file) for file in files)

"""Load and save networks as `.keras` files, in the precision that this machine computes fast."""

import io
import json
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from glioseg.core.errors import GliosegError
from glioseg.core.files import write_atomic
from glioseg.models.networks.hardware import Precision, dtype_policy

if TYPE_CHECKING:
    import keras

MODEL_FILE = "model.keras"
FOLDS = "folds"
"""Folder, beside the model, of the networks of cross-validation that are not part of it."""
MEMBER_FILE = re.compile(r"model_(\d+)\.keras")

KERAS_LOAD_ERRORS = (OSError, ValueError, TypeError, KeyError, zipfile.BadZipFile)
"""Errors of Keras for a file that is not a network, is truncated, or lacks a member."""

FULL_RESOLUTION = ("enc0", "dec0")
"""Prefixes of the names of layers at full resolution, see `unet.build_unet`."""

INPUT_NODE = '["image", 0, 0]'
"""The network's input, as the configuration of a layer refers to it."""

WEIGHTS_MEMBER = "model.weights.h5"
"""The weights in a `.keras` file, which is a zip archive."""


class ModelError(GliosegError):
    """A model folder or file that cannot be used; the message names it."""


def load_network(file: Path, precision: Precision = "auto") -> "keras.Model":
    """The network of a file, ready to predict; the dtype policy that the file records is ignored.

    Only the 3³ convolutions at full resolution run in bfloat16, except the one that reads the image: they
    take most of the time. All other layers, and all feature maps, are float32. Compared with float32, labels
    differ in up to 0.2 % of the tumour's voxels; with bfloat16 throughout they differ in up to 0.8 %.

    Args:
        file: a `.keras` file. Code in the file is not run.
        precision: precision of these convolutions; "auto": bfloat16 where this machine computes it fast.

    Returns:
        The network, not compiled.

    Raises:
        ModelError: the file does not exist, or is not a Keras model.
    """
    try:
        return _load(file, dtype_policy(precision))
    except KERAS_LOAD_ERRORS as error:
        raise ModelError(f"{file}: not a Keras model: {error}") from None


def _load(file: Path, policy: str) -> "keras.Model":
    import keras

    with zipfile.ZipFile(file) as archive, TemporaryDirectory() as folder:
        config = json.loads(archive.read("config.json"))
        config.pop("compile_config", None)
        for layer in config["config"]["layers"]:
            layer["config"]["dtype"] = policy if _is_costly_conv(layer) else "float32"
        model = keras.saving.deserialize_keras_object(config, safe_mode=True)
        # HDF5 seeks, and every seek in a compressed archive would decompress the weights again.
        model.load_weights(archive.extract(WEIGHTS_MEMBER, folder))
    return model


def _is_costly_conv(layer: dict[str, Any]) -> bool:
    """Whether the layer with this configuration is a 3³ convolution of full-resolution feature maps."""
    return (
        layer["class_name"] == "Conv3D"
        and layer["config"]["name"].startswith(FULL_RESOLUTION)
        and layer["config"]["kernel_size"] == [3, 3, 3]
        and INPUT_NODE not in json.dumps(layer["inbound_nodes"])
    )


def save_networks(folder: Path, models: Sequence["keras.Model"]) -> None:
    """Write the networks of an ensemble, or of folds: `model.keras`, `model_1.keras` and so on."""
    folder.mkdir(exist_ok=True)
    for number, model in enumerate(models):
        model.save(folder / (f"model_{number}.keras" if number else MODEL_FILE))


def network_files(folder: Path) -> list[Path]:
    """The files that `save_networks` wrote, in its order."""
    numbers = sorted(
        int(match[1]) for path in folder.iterdir() if (match := MEMBER_FILE.fullmatch(path.name))
    )
    return [folder / MODEL_FILE, *(folder / f"model_{number}.keras" for number in numbers)]


def load_networks(folder: Path) -> tuple["keras.Model", ...]:
    """The networks that `save_networks` wrote, in the precision that this machine computes fast.

    Raises:
        ModelError: a file does not exist, or is not a network.
    """
    return tuple(load_network(file) for file in network_files(folder))


def round_to_float16(model: "keras.Model") -> None:
    """Round every weight to the nearest float16 value, so that its file compresses; weights stay float32."""
    model.set_weights([weight.astype(np.float16).astype(np.float32) for weight in model.get_weights()])


def compress_keras_file(file: Path) -> None:
    """Compress a `.keras` file, which Keras writes uncompressed; half the bytes of rounded weights are 0."""
    with zipfile.ZipFile(file) as stored:
        members = {info.filename: stored.read(info) for info in stored.infolist()}
    compressed = io.BytesIO()
    with zipfile.ZipFile(compressed, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED, 9)
    write_atomic(file, compressed.getvalue())

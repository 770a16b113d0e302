"""Networks that take less room: half precision, and a file that is packed."""

import io
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from glioseg.core.files import write_whole

if TYPE_CHECKING:
    import keras


def round_to_half(model: "keras.Model") -> None:
    """Round every weight to half precision; it stays in single, so that nothing else need know."""
    model.set_weights([weight.astype(np.float16).astype(np.float32) for weight in model.get_weights()])


def deflate(file: Path) -> None:
    """Pack a `.keras` file, which Keras stores as it is: of rounded weights about half is zeros."""
    with zipfile.ZipFile(file) as stored:
        members = {info.filename: stored.read(info) for info in stored.infolist()}
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED, 9)
    write_whole(file, packed.getvalue())

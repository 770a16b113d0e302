"""From raw volumes to a label map on the scan's own grid: what predict, evaluate and serving share."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32, UInt8
from numpy.typing import NDArray

from glioseg.data.crop import crop_images, uncrop
from glioseg.data.store import StoredCase
from glioseg.data.volumes import Volume
from glioseg.files import write_whole
from glioseg.geometry import Shape3, downsample, pad_to_multiple
from glioseg.labels import labels_from_regions
from glioseg.nets.postprocess import choose_min_et_ml, drop_small_et

if TYPE_CHECKING:
    import keras

MODEL_FILE = "model.keras"
SETTINGS_FILE = "settings.json"


class ModelError(ValueError):
    """A model folder that cannot be loaded; the message names it."""


@dataclass(frozen=True)
class Settings:
    """What a network needs beside its weights.

    `spacing_mm`: resolution that it was trained at; `multiple`: grids must be multiples of this many
    voxels; `margin_vox`: margin of the brain box at 1 mm; `min_et_ml`: smallest enhancing volume of a
    case that counts.
    """

    spacing_mm: int
    multiple: int
    margin_vox: int
    min_et_ml: float

    def save(self, folder: Path) -> None:
        """Write the settings beside the model file."""
        write_whole(folder / SETTINGS_FILE, json.dumps(asdict(self), indent=2).encode() + b"\n")

    @classmethod
    def load(cls, folder: Path) -> "Settings":
        """Read the settings of a model folder."""
        try:
            return cls(**json.loads((folder / SETTINGS_FILE).read_text()))
        except (OSError, ValueError, TypeError) as error:
            raise ModelError(f"{folder / SETTINGS_FILE}: not a model's settings: {error}") from None


@dataclass(frozen=True)
class Segmenter:
    """A trained network with the settings that it needs."""

    model: "keras.Model"
    settings: Settings

    def probabilities(self, image: Float32[NDArray, "d h w 4"]) -> Float32[NDArray, "d h w 3"]:
        """Probabilities of WT, TC and ET for a normalised crop at 1 mm, in one pass.

        The crop is brought to the network's spacing, zero-padded to a grid that it can halve often
        enough, and the answer is brought back by linear interpolation.
        """
        answer = self.coarse_probabilities(downsample(image, self.settings.spacing_mm))
        d, h, w = image.shape[:3]
        return upsample(answer, self.settings.spacing_mm, (d, h, w))

    def coarse_probabilities(self, image: Float32[NDArray, "d h w 4"]) -> Float32[NDArray, "d h w 3"]:
        """The same for a crop that is at the network's spacing already, on its own grid."""
        padded, box = pad_to_multiple(image, self.settings.multiple)
        answer: NDArray[np.float32] = np.asarray(
            self.model(padded[np.newaxis], training=False)[0], np.float32
        )
        return answer[box.slices]

    def segment(self, images: Mapping[str, Volume]) -> UInt8[NDArray, "d h w"]:
        """Dense labels on the scan's own grid, 0 outside the brain.

        Args:
            images: a volume for each of `MODALITIES`, all on one grid, in any orientation.
        """
        image, placement = crop_images(images, margin_vox=self.settings.margin_vox)
        labels = labels_from_regions(self.probabilities(image))
        labels[~image.any(axis=-1)] = 0
        voxel_ml = float(np.prod(placement.grid.spacing_mm)) / 1000
        labels = drop_small_et(labels, min_et_ml=self.settings.min_et_ml, voxel_ml=voxel_ml)
        return uncrop(labels, placement)


def settle(segmenter: Segmenter, cases: Sequence[StoredCase], *, choices: Sequence[float]) -> Segmenter:
    """Choose on validation cases the smallest enhancing volume that counts.

    Args:
        segmenter: a trained network; its `min_et_ml` does not matter.
        cases: the validation cases, stored at the network's spacing.
        choices: volumes to choose from, in ml.
    """
    spacing = segmenter.settings.spacing_mm

    def pair(case: StoredCase) -> tuple[UInt8[NDArray, "d h w"], UInt8[NDArray, "d h w"]]:
        image = case.image(spacing)[:].astype(np.float32)
        return case.label(spacing)[:], labels_from_regions(segmenter.coarse_probabilities(image))

    best = choose_min_et_ml(map(pair, cases), choices=choices, voxel_ml=spacing**3 / 1000)
    return replace(segmenter, settings=replace(segmenter.settings, min_et_ml=best))


def upsample(array: Float32[NDArray, "e i x c"], factor: int, shape: Shape3) -> Float32[NDArray, "d h w c"]:
    """Undo `geometry.downsample` by linear interpolation between block centres.

    >>> upsample(np.full((2, 2, 2, 1), 3, np.float32), 2, (3, 4, 4)).shape
    (3, 4, 4, 1)
    """
    out: NDArray[np.float32] = array
    for axis, size in enumerate(shape):
        last = out.shape[axis] - 1
        at = np.clip((np.arange(size, dtype=np.float32) + 0.5) / factor - 0.5, 0, last)
        low = at.astype(int)
        share = (at - low).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(out.ndim)])
        high = np.minimum(low + 1, last)
        out = out.take(low, axis) * (1 - share) + out.take(high, axis) * share
    return out


def load_model(folder: Path) -> Segmenter:
    """Load a model folder: `model.keras` (never a pickle) and `settings.json`.

    Raises:
        ModelError: the folder holds no model that can be loaded.
    """
    settings = Settings.load(folder)
    import keras  # imported here: TensorFlow takes 12 s and not every caller of this module needs it

    try:
        model = keras.saving.load_model(folder / MODEL_FILE, compile=False, safe_mode=True)
    except (OSError, ValueError, TypeError) as error:
        raise ModelError(f"{folder / MODEL_FILE}: not a Keras model: {error}") from None
    return Segmenter(model, settings)

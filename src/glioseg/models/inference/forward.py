"""How networks look at a crop: in one pass or window by window, and in eight mirror images."""

from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from glioseg.core.geometry import Shape3, pad_to_multiple
from glioseg.core.memory import check_window, peak_gb
from glioseg.core.modalities import MODALITIES
from glioseg.models.inference.model_settings import Settings
from glioseg.models.inference.probabilities import Findings, Image, Look, average
from glioseg.models.inference.sliding_window import windowed
from glioseg.models.networks.region_probabilities import region_probabilities
from glioseg.models.networks.targets import OUTCOMES

if TYPE_CHECKING:
    import keras

MIRRORS = [axes for count in range(4) for axes in combinations(range(3), count)]
"""The axes that each of the eight mirror images flips."""


def examine(models: Sequence["keras.Model"], image: Image, settings: Settings) -> Findings:
    """What networks find in a crop at their own spacing, on average.

    Args:
        models: the members of an ensemble, or one network.
        image: the normalised crop.
        settings: say whether it is seen in one pass or window by window, and mirrored or not.

    Raises:
        SettingError: not even one window fits the memory budget.
    """
    return average(_look(model, image, settings, len(models))(image) for model in models)


def _look(model: "keras.Model", image: Image, settings: Settings, networks: int) -> Look:
    look = straight(model, settings)
    if settings.mirror:
        look = mirrored(look)
    d, h, w = image.shape[:3]
    if settings.one_pass and one_pass_fits((d, h, w), settings, networks):
        return padded(look, settings.multiple)
    need_gb = window_gb(settings, networks)
    check_window(settings.window_shape, need_gb=need_gb, memory_gb=settings.memory_gb)
    return windowed(look, window=settings.window_shape, overlap=settings.overlap)


def one_pass_fits(crop: Shape3, settings: Settings, networks: int = 1) -> bool:
    """Whether the memory budget allows to see a crop of this shape at once."""
    d, h, w = (-(-n // settings.multiple) * settings.multiple for n in crop)
    return _need_gb((d, h, w), settings, networks) <= settings.memory_gb


def window_gb(settings: Settings, networks: int = 1) -> float:
    """The least memory that a scan can be seen with: that of one window."""
    return _need_gb(settings.window_shape, settings, networks)


def _need_gb(shape: Shape3, settings: Settings, networks: int) -> float:
    return peak_gb(shape, base_filters=settings.base_filters, networks=networks)


def straight(model: "keras.Model", settings: Settings) -> Look:
    """One pass over a grid that is a multiple of `settings.multiple`.

    `predict_on_batch` compiles the network into a graph, which frees each feature map after its last
    use; calling the model would keep them all, which takes three times the memory.
    """

    def look(image: Image) -> Findings:
        if getattr(model, "predict_function", look) is None:
            _compile(model, settings.multiple)
        answer = model.predict_on_batch(image[np.newaxis])
        regions = region_probabilities(np.asarray(answer["segmentation"][0], np.float32), settings.target)
        return Findings(regions, {name: float(answer[name][0, 0]) for name in OUTCOMES if name in answer})

    return look


def _compile(model: "keras.Model", multiple: int) -> None:
    """Compile a network for all shapes at once, by showing it two.

    TensorFlow makes a graph for the first shape alone and one for all others from the second on, and their
    last bits differ: what a process saw first would show in its answers. JAX makes one for each shape.
    """
    import keras

    edges = (multiple, 2 * multiple) if keras.backend.backend() == "tensorflow" else ()
    for edge in edges:
        model.predict_on_batch(np.zeros((1, edge, edge, edge, len(MODALITIES)), np.float32))


def padded(look: Look, multiple: int) -> Look:
    """Zero-pad a grid to a multiple along each axis, look at all of it, and cut the answer back."""

    def whole(image: Image) -> Findings:
        full, box = pad_to_multiple(image, multiple)
        found = look(full)
        return Findings(found.regions[box.slices], found.outcomes)

    return whole


def mirrored(look: Look) -> Look:
    """Look at all eight mirror images, and average the answers, mirrored back."""

    def flipped(image: Image, axes: tuple[int, ...]) -> Findings:
        found = look(np.ascontiguousarray(np.flip(image, axes)))
        return Findings(np.flip(found.regions, axes), found.outcomes)

    return lambda image: average(flipped(image, axes) for axes in MIRRORS)

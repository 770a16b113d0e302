"""Forward passes over a crop, whole or in sliding windows, averaged over networks and mirror images."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations, product
from math import ceil
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32, Float64
from numpy.typing import NDArray

from glioseg.core.geometry import Shape3, pad_to_multiple, pad_to_shape
from glioseg.core.memory import check_window_memory, peak_gb
from glioseg.core.modalities import MODALITIES
from glioseg.models.inference.model_settings import Settings
from glioseg.models.networks.outputs import OUTCOMES, region_probabilities

if TYPE_CHECKING:
    import keras

MIRRORS = [axes for count in range(4) for axes in combinations(range(3), count)]
"""The axes that each of the eight mirror images flips."""

Image = Float32[NDArray, "d h w 4"]


@dataclass(frozen=True)
class NetworkOutput:
    """The output of one or several networks for a grid.

    `regions`: probabilities of WT, TC and ET; `outcomes`: of the outputs that the networks have, "grade", the
    probability of LGG, and "survival", in years; `pass_volumes`: the sum of each region's probabilities over
    the grid, in voxels, in each of the passes that this output is the mean of; none for a single pass.
    """

    regions: Float32[NDArray, "d h w 3"]
    outcomes: dict[str, float]
    pass_volumes: Float64[NDArray, "passes 3"] = field(default_factory=lambda: np.empty((0, 3)))


ForwardPass = Callable[[Image], NetworkOutput]


def run_networks(models: Sequence["keras.Model"], image: Image, settings: Settings) -> NetworkOutput:
    """The mean output of networks for a crop at their own spacing.

    Args:
        models: the members of an ensemble, or one network.
        image: the normalised crop.
        settings: settings for one pass or sliding windows, and for test-time mirroring.

    Raises:
        SettingError: the memory budget is too small for one window.
    """
    return average_outputs(_forward_pass(model, image, settings, len(models))(image) for model in models)


def _forward_pass(model: "keras.Model", image: Image, settings: Settings, networks: int) -> ForwardPass:
    d, h, w = image.shape[:3]
    whole = settings.one_pass and one_pass_fits((d, h, w), settings, networks)
    forward = single_pass(model, settings)
    if not whole:
        need_gb = window_gb(settings, networks)
        check_window_memory(settings.window_shape, need_gb=need_gb, memory_gb=settings.memory_gb)
        forward = sliding_window(forward, window=settings.window_shape, overlap=settings.overlap)
    if settings.mirror:
        forward = with_mirroring(forward)
    return with_padding(forward, settings.multiple) if whole else forward


def one_pass_fits(crop: Shape3, settings: Settings, networks: int = 1) -> bool:
    """Whether one pass over a whole crop of this shape stays within the memory budget."""
    d, h, w = (-(-n // settings.multiple) * settings.multiple for n in crop)
    return _required_gb((d, h, w), settings, networks) <= settings.memory_gb


def window_gb(settings: Settings, networks: int = 1) -> float:
    """Memory for one window: the minimum for every scan."""
    return _required_gb(settings.window_shape, settings, networks)


def _required_gb(shape: Shape3, settings: Settings, networks: int) -> float:
    return peak_gb(shape, base_filters=settings.base_filters, networks=networks)


def single_pass(model: "keras.Model", settings: Settings) -> ForwardPass:
    """One pass over a grid whose edges are multiples of `settings.multiple`.

    `predict_on_batch` compiles the network into a graph, which frees each feature map after its last
    use. A call of the model keeps them all, which takes three times the memory.
    """

    def forward(image: Image) -> NetworkOutput:
        if getattr(model, "predict_function", forward) is None:
            _compile_for_all_shapes(model, settings.multiple)
        outputs = model.predict_on_batch(image[np.newaxis])
        regions = region_probabilities(np.asarray(outputs["segmentation"][0], np.float32), settings.target)
        outcomes = {name: float(outputs[name][0, 0]) for name in OUTCOMES if name in outputs}
        return NetworkOutput(regions, outcomes)

    return forward


def _compile_for_all_shapes(model: "keras.Model", multiple: int) -> None:
    """Compile one graph for all shapes, with passes over two small grids.

    TensorFlow compiles one graph for the first shape alone and another, for all other shapes, from the second
    shape on. The last bits of the two differ, so predictions would depend on the first scan of a process. JAX
    compiles a graph for each shape.
    """
    import keras

    edges = (multiple, 2 * multiple) if keras.backend.backend() == "tensorflow" else ()
    for edge in edges:
        model.predict_on_batch(np.zeros((1, edge, edge, edge, len(MODALITIES)), np.float32))


def with_padding(forward: ForwardPass, multiple: int) -> ForwardPass:
    """Zero-pad each axis of a grid to a multiple, run the pass, and crop its output back."""

    def padded(image: Image) -> NetworkOutput:
        full, box = pad_to_multiple(image, multiple)
        output = forward(full)
        return replace(output, regions=output.regions[box.slices])

    return padded


def with_mirroring(forward: ForwardPass) -> ForwardPass:
    """Test-time augmentation: the mean output over all eight mirror images, each flipped back."""

    def flipped(image: Image, axes: tuple[int, ...]) -> NetworkOutput:
        output = forward(np.ascontiguousarray(np.flip(image, axes)))
        return replace(output, regions=np.flip(output.regions, axes))

    return lambda image: average_outputs(flipped(image, axes) for axes in MIRRORS)


def sliding_window(forward: ForwardPass, *, window: Shape3, overlap: float) -> ForwardPass:
    """Run a pass over overlapping windows and merge the outputs, as nnU-Net does (Isensee et al. 2021).

    Near the edge of a window a network sees less context, so a Gaussian around the window's centre weights
    its output. An axis shorter than the window is zero-padded.

    Args:
        forward: a pass over one window.
        window: shape of a window in voxels.
        overlap: overlap of neighbouring windows, 0 to below 1.
    """
    weight = gaussian_weights(window)[..., np.newaxis]

    def windowed(image: Image) -> NetworkOutput:
        padded, box = pad_to_shape(image, window)
        total = np.zeros((*padded.shape[:3], 3), np.float32)
        weights = np.zeros((*padded.shape[:3], 1), np.float32)
        outcomes = []
        axes = (window_starts(n, w, overlap) for n, w in zip(padded.shape[:3], window, strict=True))
        for corner in product(*axes):
            at = tuple(slice(a, a + w) for a, w in zip(corner, window, strict=True))
            output = forward(padded[at])
            total[at] += weight * output.regions
            weights[at] += weight
            outcomes.append(output.outcomes)
        total /= weights
        return NetworkOutput(total[box.slices], mean_outcomes(outcomes))

    return windowed


def window_starts(size: int, window: int, overlap: float) -> list[int]:
    """The first voxel of each window along an axis: the fewest windows with this overlap, evenly spaced.

    >>> window_starts(110, 64, 0.5)
    [0, 23, 46]
    """
    last = size - window
    steps = ceil(last / (window * (1 - overlap)))
    return [round(last * i / steps) for i in range(steps + 1)] if steps > 0 else [0]


def gaussian_weights(window: Shape3) -> Float32[NDArray, "d h w"]:
    """Weights of a window's voxels: 1 at its centre, sigma an eighth of its length along each axis."""
    bells = [np.exp(-0.5 * ((np.arange(n) - (n - 1) / 2) / (n / 8)) ** 2) for n in window]
    d, h, w = np.ix_(*bells)
    weights: NDArray[np.float32] = (d * h * w).astype(np.float32)
    return weights


def average_outputs(outputs: Iterable[NetworkOutput]) -> NetworkOutput:
    """The mean of several outputs for one grid, with one of them in memory at a time.

    >>> pair = (NetworkOutput(np.full((1, 1, 1, 3), p, np.float32), {}) for p in (0.25, 0.75))
    >>> mean = average_outputs(pair)
    >>> mean.regions.ravel().tolist(), mean.pass_volumes.tolist()
    ([0.5, 0.5, 0.5], [[0.25, 0.25, 0.25], [0.75, 0.75, 0.75]])
    """
    total, outcomes, volumes = None, [], []
    for output in outputs:
        total = output.regions.copy() if total is None else np.add(total, output.regions, out=total)
        outcomes.append(output.outcomes)
        own = output.regions.sum(axis=(0, 1, 2), dtype=np.float64)[np.newaxis]
        volumes.append(output.pass_volumes if len(output.pass_volumes) else own)
    if total is None:
        raise ValueError("outputs: expected at least one, got none")
    total /= np.float32(len(outcomes))
    return NetworkOutput(total, mean_outcomes(outcomes), np.concatenate(volumes))


def mean_outcomes(outcomes: Sequence[dict[str, float]]) -> dict[str, float]:
    """The mean of each outcome, over the outputs that have it.

    >>> mean_outcomes([{"grade": 0.5, "survival": 1.0}, {"grade": 1.0}])
    {'grade': 0.75, 'survival': 1.0}
    """
    names = dict.fromkeys(name for output in outcomes for name in output)
    return {name: float(np.mean([output[name] for output in outcomes if name in output])) for name in names}

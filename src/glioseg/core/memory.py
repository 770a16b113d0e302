"""How much memory a network needs to segment, from its size alone: pure arithmetic, nothing is loaded."""

from math import ceil, prod

from glioseg.core.errors import SettingError

IDLE_GB = 1.35
"""Of a process that has loaded TensorFlow, a network and the scans of one case."""
VOXEL_BYTES = 80
"""A voxel's share beside its feature maps: the network's input and answer, with their copies."""
MAP_BYTES = 28
"""A voxel's share for each base filter: the float32 feature maps that a pass holds at its worst moment."""
FILTER_BYTES = 300_000
"""Weights, with their copies, by the square of the base filters."""


def peak_gb(shape: tuple[int, int, int], *, base_filters: int, networks: int = 1) -> float:
    """The most memory that a process holds that segments a case, seeing one such grid at a time.

    The constants were chosen above measured peaks of resident memory, by at most 1.6 times: compiled
    passes in TensorFlow on a CPU, each architecture at depth 5, 8 to 32 filters, 64³ to 144×192×144
    voxels. Another backend, a GPU or a deeper network was not measured.

    Args:
        shape: of the grid, in voxels.
        base_filters: filters at full resolution.
        networks: of an ensemble; they are all loaded, and run one after the other.

    Returns:
        In GB of 10⁹ bytes, libraries included.

    >>> round(peak_gb((144, 192, 144), base_filters=16), 1)
    3.5
    """
    voxel_bytes = VOXEL_BYTES + base_filters * MAP_BYTES
    return IDLE_GB + (prod(shape) * voxel_bytes + networks * FILTER_BYTES * base_filters**2) / 1e9


def resampling_gb(crop: tuple[int, int, int], seen: tuple[int, int, int]) -> float:
    """The most memory that a process holds that brings a scan to the network's grid, and an answer back.

    Args:
        crop: shape of the brain's box in voxels of the scan.
        seen: the same on the network's grid.

    Returns:
        In GB of 10⁹ bytes, libraries included.
    """
    return IDLE_GB + (prod(crop) + prod(seen)) * VOXEL_BYTES / 1e9


def check_window(window: tuple[int, int, int], *, need_gb: float, memory_gb: float) -> None:
    """Raise SettingError where a window, the least that a network can see at once, needs too much memory."""
    if need_gb > memory_gb:
        raise SettingError(
            f"inference.memory_gb: expected at least {ceil(need_gb * 100) / 100:g} GB"
            f" for a window of {list(window)} voxels, got {memory_gb:g}"
        )

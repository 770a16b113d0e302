"""Estimates of the peak memory of a segmentation, computed from shapes and the number of filters."""

from math import ceil, prod

from glioseg.core.errors import SettingError

IDLE_GB = 1.35
"""Memory of a process that has loaded TensorFlow, a network and the scans of one case."""
VOXEL_BYTES = 80
"""Bytes for each voxel of the network's input and output, with their copies."""
SCAN_VOXEL_BYTES = 36
"""Bytes for each voxel of a scan that is resampled: probabilities and labels, with their copies."""
FEATURE_MAP_BYTES = 28
"""Bytes for each voxel and base filter: the float32 feature maps at the peak of a forward pass."""
WEIGHT_BYTES = 300_000
"""Bytes of the weights, with their copies, for each square of the number of base filters."""


def peak_gb(shape: tuple[int, int, int], *, base_filters: int, networks: int = 1) -> float:
    """Peak memory of a process that segments a case with forward passes over a grid of this shape.

    The estimate is 1 to 1.6 times the measured peak of resident memory. The measurements cover compiled
    forward passes in TensorFlow on a CPU, for each architecture at depth 5, with 8 to 32 filters and 64³ to
    144×192×144 voxels, but no other backends, GPUs or deeper networks.

    Args:
        shape: voxels of the grid along each axis.
        base_filters: filters at full resolution.
        networks: size of an ensemble; all its networks are in memory, and run one after the other.

    Returns:
        GB of 10⁹ bytes, libraries included.

    >>> round(peak_gb((144, 192, 144), base_filters=16), 1)
    3.5
    """
    voxel_bytes = VOXEL_BYTES + base_filters * FEATURE_MAP_BYTES
    return IDLE_GB + (prod(shape) * voxel_bytes + networks * WEIGHT_BYTES * base_filters**2) / 1e9


def resampling_peak_gb(
    scan_shape: tuple[int, int, int], network_shape: tuple[int, int, int], *, scan_bytes: int
) -> float:
    """Peak memory of a process that resamples a scan to the network's grid, and a prediction back.

    Args:
        scan_shape: shape of the brain's box in voxels of the scan.
        network_shape: shape of the brain's box in voxels of the network's grid.
        scan_bytes: size of all images of the case in memory.

    Returns:
        GB of 10⁹ bytes, libraries included.
    """
    voxel_bytes = prod(scan_shape) * SCAN_VOXEL_BYTES + prod(network_shape) * VOXEL_BYTES
    return IDLE_GB + (scan_bytes + voxel_bytes) / 1e9


def check_window_memory(window: tuple[int, int, int], *, need_gb: float, memory_gb: float) -> None:
    """Raise SettingError if a sliding window, the smallest input of a network, needs too much memory."""
    if need_gb > memory_gb:
        raise SettingError(
            f"inference.memory_gb: expected at least {ceil(need_gb * 100) / 100:g} GB"
            f" for a window of {list(window)} voxels, got {memory_gb:g}"
        )

"""The MNI152 tissue maps that nilearn ships (Fonov et al. 2011), and further maps that phantoms need."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Bool, Float32, UInt8
from numpy.typing import NDArray
from scipy import ndimage

ORIGIN_VOX = np.array([98.0, 98.0, 72.0])
"""Voxel of MNI (0, 0, 0) in the template after it has been flipped to LPS."""
LPS = np.array([-1.0, -1.0, 1.0])
"""Signs that turn MNI's right, anterior, superior into left, posterior, superior."""


@dataclass(frozen=True)
class Template:
    """The MNI152 maps on one LPS grid, (197, 233, 189) at 1 mm.

    Attributes:
        grey, white: tissue probabilities; the rest of the brain is CSF.
        soft_mask: smoothed brain mask: 0 outside the head, 128 on the brain's surface, 255 deep inside.
        border_sharpness: 255 where tissue borders are sharp, low in the deep nuclei and the brain stem.
        ventricle_wall: 255 at the wall of the lateral ventricles, less with the distance from it.
        ventricles: lateral ventricles, 0 or 255; 128 in the choroid plexus.
        cerebrum: 255 in the cerebrum, where gliomas grow; 0 in cerebellum and brain stem.
        iron: 255 in the nuclei whose iron darkens T2 and FLAIR.
    """

    grey: Float32[NDArray, "x y z"]
    white: Float32[NDArray, "x y z"]
    soft_mask: UInt8[NDArray, "x y z"]
    border_sharpness: UInt8[NDArray, "x y z"]
    ventricle_wall: UInt8[NDArray, "x y z"]
    ventricles: UInt8[NDArray, "x y z"]
    cerebrum: UInt8[NDArray, "x y z"]
    iron: UInt8[NDArray, "x y z"]


@cache
def load_template() -> Template:
    """The template, which each process reads and prepares once, in about a second."""
    from nilearn import datasets  # the import takes seconds

    t1, grey, white = (
        np.ascontiguousarray(image.get_fdata(dtype=np.float32)[::-1, ::-1])
        for image in (
            datasets.load_mni152_template(resolution=1),
            datasets.load_mni152_gm_template(resolution=1),
            datasets.load_mni152_wm_template(resolution=1),
        )
    )
    mask = ndimage.binary_fill_holes(t1 > 0.1)
    csf = np.clip(mask.astype(np.float32) - grey - white, 0, 1)
    x, y, z = _mni_mm(t1.shape)
    ventricles = _lateral_ventricles(csf, x, y, z)
    distance_mm = ndimage.distance_transform_edt(~ventricles)
    # The walls of the ventricles have the same dips and peaks as sulci, so their surroundings are excluded.
    sulci = (_sulci(t1, csf, grey) * (1 - np.exp(-(distance_mm**2) / 50))).astype(np.float32)
    grey, white = grey * (1 - sulci), white * (1 - sulci)
    plexus = ventricles & (y > -46) & (y < 0) & (np.abs(x) > 7) & (z < 10 + 0.3 * (y + 45))
    infratentorial = z < np.interp(y, [-105, -70, -45, -30, -20], [-12, -12, -6, -14, -40])
    # 0 in the centre, 1 on the surface of an ellipsoid around the deep nuclei and the brain stem.
    deep_nuclei = (x / 34) ** 2 + ((y + 8) / 34) ** 2 + ((z - 4) / 24) ** 2
    return Template(
        grey=grey,
        white=white,
        soft_mask=_to_byte(ndimage.gaussian_filter(mask.astype(np.float32), 1.5)),
        border_sharpness=_to_byte(1 - np.exp(-(deep_nuclei**2))),
        ventricle_wall=_to_byte(np.exp(-distance_mm / 4.0)),
        ventricles=np.where(plexus, 128, np.where(ventricles, 255, 0)).astype(np.uint8),
        cerebrum=_to_byte(ndimage.gaussian_filter(np.broadcast_to(~infratentorial, t1.shape) * 1.0, 4.0)),
        iron=_to_byte(_nuclei(x, y, z)),
    )


def _to_byte(values: NDArray[np.floating]) -> UInt8[NDArray, "x y z"]:
    """Values from 0 to 1 as bytes, so that a nearest-neighbour lookup reads little memory."""
    return np.asarray(np.rint(np.clip(values, 0, 1) * 255), np.uint8)


def _mni_mm(shape: tuple[int, ...]) -> list[NDArray[np.float32]]:
    """MNI coordinates of the flipped template: three broadcastable axes in mm."""
    return [
        ((np.arange(n) - o) * s).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(3)])
        for axis, (n, o, s) in enumerate(zip(shape, ORIGIN_VOX, LPS, strict=True))
    ]


def _lateral_ventricles(
    csf: Float32[NDArray, "x y z"],
    x: NDArray[np.float32],
    y: NDArray[np.float32],
    z: NDArray[np.float32],
) -> Bool[NDArray, "x y z"]:
    """Mask of the lateral ventricles: components of more than 400 CSF voxels in the box around them."""
    side = np.abs(x)
    inside = (side < 42) & (y > -62) & (y < 38) & (z > -22) & (z < 32)
    cisterns = ((z < 2) & (side < 18)) | ((y < -36) & (side < 9)) | ((y > 30) & (side < 6))
    components, _ = ndimage.label((csf > 0.5) & inside & ~cisterns)
    sizes = np.bincount(components.ravel())
    sizes[0] = 0
    return np.asarray(np.isin(components, np.flatnonzero(sizes > 400)))


def _nuclei(x: NDArray[np.float32], y: NDArray[np.float32], z: NDArray[np.float32]) -> NDArray[np.float32]:
    """Globus pallidus, substantia nigra with red nucleus, and dentate nucleus as soft ellipsoids."""
    ellipsoids = ((19, -6, -1, 5, 9, 6), (9, -18, -10, 5, 5, 5), (15, -58, -34, 5, 7, 4))
    total = np.zeros(np.broadcast_shapes(x.shape, y.shape, z.shape), np.float32)
    for px, py, pz, rx, ry, rz in ellipsoids:
        distance = ((np.abs(x) - px) / rx) ** 2 + ((y - py) / ry) ** 2 + ((z - pz) / rz) ** 2
        total += np.exp(-(distance**2))
    return total


def _sulci(
    t1: Float32[NDArray, "x y z"], csf: Float32[NDArray, "x y z"], grey: Float32[NDArray, "x y z"]
) -> Float32[NDArray, "x y z"]:
    """Share of grey matter to turn into sulcal CSF: where T1 is darker, or CSF higher, than around it."""
    dip = ndimage.gaussian_filter(t1, 2.5) - t1
    peak = csf - ndimage.gaussian_filter(csf, 2.5)
    return np.asarray(np.clip(2.2 * dip + 1.5 * peak, 0, 0.8) * (grey > 0.15))

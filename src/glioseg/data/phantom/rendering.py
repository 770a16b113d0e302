"""Simulate T1, T1ce, T2 and FLAIR scans of a labelled brain.

Each tissue has its own signal. The simulated scanner then blurs, averages into slices, adds Rician noise
(Gudbjartsson and Patz 1995) and multiplies by a bias field.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Bool, Float32, Int16, UInt8
from numpy.typing import NDArray
from scipy import ndimage

from glioseg.data.phantom.anatomy import Anatomy
from glioseg.data.phantom.contrast import Contrast
from glioseg.data.phantom.grid import PhantomGrid, apply_along_axis, blur_matrix, slicing_matrices
from glioseg.data.phantom.sampling import HeadPlan, TumourPlan
from glioseg.data.phantom.tumour import CAVITY, ED, ET, NCR

_MARGIN_EXPONENT = 1.6
"""Exponent that moves a soft margin inside the label; with 1, half of the margin would lie outside."""


@dataclass(frozen=True)
class Scene:
    """The maps that all modalities of a case share; each is (D, H, W).

    Attributes:
        anatomy, labels: the brain and the tumour in it.
        dura: remnants of dura that skull-stripping left outside the CSF, 0 to 1.
        vessels: 1 on the centre line of a vessel.
        uptake: healthy tissue that takes up contrast agent: vessels and choroid plexus.
        lesions: white-matter hyperintensities, 0 to 1.
        blood: blood products, 0 to 1.
        cysts: fluid in a core.
        texture, coarse_texture: noise of unit variance that makes tissue heterogeneous.
    """

    anatomy: Anatomy
    labels: UInt8[NDArray, "d h w"]
    dura: Float32[NDArray, "d h w"]
    vessels: Float32[NDArray, "d h w"]
    uptake: Float32[NDArray, "d h w"]
    lesions: Float32[NDArray, "d h w"]
    blood: Float32[NDArray, "d h w"]
    cysts: Bool[NDArray, "d h w"]
    texture: Float32[NDArray, "d h w"]
    coarse_texture: Float32[NDArray, "d h w"]


def build_scene(
    anatomy: Anatomy,
    labels: UInt8[NDArray, "d h w"],
    *,
    head: HeadPlan,
    tumour: TumourPlan,
    rng: np.random.Generator,
) -> Scene:
    """Sample the structures that resemble tumour, and the textures that all modalities share."""
    noise = partial(anatomy.grid.noise, rng)
    octaves = [noise(spacing_mm) for spacing_mm in (2.0, 4.0, 8.0)]
    texture = (octaves[0] + octaves[1] + octaves[2]) / np.float32(np.sqrt(3))
    healthy = (labels == 0) & anatomy.brain
    spots = noise(4.0) + np.float32(3.2) * anatomy.ventricle_wall
    lesions = np.clip(2 * (spots - 3.6 + 0.9 * head.lesion_load), 0, 1) * anatomy.white * healthy
    core = np.isin(labels, (NCR, ET))
    blood = np.clip(noise(6.0) - 1.0, 0, 1) * (core & tumour.haemorrhage)
    vessels = _vessels(anatomy, head.sinus_mm2, rng) * ~core
    plexus = anatomy.choroid_plexus * (texture > -0.4) * (labels == 0)
    dura = np.clip(4 * anatomy.surface - 2.6 + head.skull_remnants + 0.7 * octaves[2], 0, 1)
    return Scene(
        anatomy=anatomy,
        labels=labels,
        dura=dura * (labels == 0),
        vessels=vessels,
        uptake=vessels + np.float32(0.4) * plexus,
        lesions=lesions,
        blood=blood,
        cysts=_cysts(labels, tumour.cyst_share, noise),
        texture=texture,
        coarse_texture=octaves[2],
    )


def _cysts(
    labels: UInt8[NDArray, "d h w"], share: float, noise: Callable[[float], Float32[NDArray, "d h w"]]
) -> Bool[NDArray, "d h w"]:
    """Cysts: the part of the non-enhancing core in which smooth noise is high."""
    core = labels == NCR
    if not share or not core.any():
        return np.zeros(labels.shape, bool)
    field = noise(14.0)
    return np.asarray(core & (field >= np.quantile(field[core], 1 - share)))


def _vessels(anatomy: Anatomy, sinus_mm2: float, rng: np.random.Generator) -> Float32[NDArray, "d h w"]:
    """Thin tubes where two noise fields are both zero, dense in the sulci; and the sagittal sinus."""
    noise = partial(anatomy.grid.noise, rng)
    one, two = (noise(7.0) for _ in range(2))
    tubes = np.exp(-(one**2 + two**2) / np.float32(2 * 0.13**2))
    tubes *= np.clip(anatomy.csf + anatomy.grey * 0.5 + 0.04 + 0.8 * anatomy.surface, 0, 1)
    tubes *= 1 - anatomy.ventricles
    tubes *= np.clip(0.6 + 0.4 * noise(14.0), 0, 1)
    sinus = np.exp(-(anatomy.midline_mm**2) / sinus_mm2) * np.clip(2.5 * anatomy.surface - 0.6, 0, 1)
    return np.asarray(np.clip(tubes + sinus, 0, 1) * anatomy.brain)


def render_scan(contrast: Contrast, scene: Scene, rng: np.random.Generator) -> Int16[NDArray, "d h w"]:
    """One scan of the scene, 0 outside the brain and at least 1 inside it."""
    grid, brain = scene.anatomy.grid, scene.anatomy.brain
    scan = _simulate_scanner(_tissue_signal(contrast, scene), contrast, rng, grid)
    scan *= np.exp(np.float32(contrast.bias_field) * grid.noise(rng, 55.0))
    if contrast.gamma != 1:
        scan = np.clip(scan, 0, None) ** np.float32(contrast.gamma)
    if contrast.clip_quantile < 1:
        scan = np.minimum(scan, np.quantile(scan[brain], contrast.clip_quantile))
    scaled = np.rint(scan * np.float32(contrast.white_matter_level))
    intensities = np.clip(scaled, 1, np.iinfo(np.int16).max)
    return np.where(brain, intensities, 0).astype(np.int16)


def _tissue_signal(contrast: Contrast, scene: Scene) -> Float32[NDArray, "d h w"]:
    """Noise-free signal relative to white matter."""
    s = contrast.signal
    healthy = _healthy_signal(contrast, scene)
    uneven = 1 + 0.14 * contrast.heterogeneity * scene.coarse_texture
    # The healthy tissue remains faintly visible in the oedema.
    opacity = contrast.oedema_opacity
    oedema = (opacity * s["ed"] + (1 - opacity) * healthy * s["ed"] ** 0.5) * uneven
    tissue = _blend_oedema(healthy, oedema, contrast, scene)
    for value, name, roughness, spread, field in (
        (NCR, "ncr", 0.08, contrast.core_variation, scene.texture),
        (ET, "et", 0.12, contrast.enhancement_variation, scene.coarse_texture),
    ):
        inside = scene.labels == value
        tissue[inside] = s[name] * (1 + roughness * contrast.heterogeneity * scene.texture[inside])
        tissue[inside] *= np.exp(spread * field[inside])
    tissue[scene.cysts] = s["fluid"]
    tissue[scene.labels == CAVITY] = s["csf"]
    tissue *= (1 + contrast.blood * scene.blood) * (1 + contrast.flow * scene.vessels)
    tissue += contrast.contrast_uptake * scene.uptake
    return np.asarray(tissue * scene.anatomy.brain)


def _blend_oedema(
    healthy: Float32[NDArray, "d h w"], oedema: Float32[NDArray, "d h w"], contrast: Contrast, scene: Scene
) -> Float32[NDArray, "d h w"]:
    """Healthy tissue blended with oedema; the soft margin lies inside the label, as raters include it."""
    if not contrast.oedema_margin_mm:
        return np.where(scene.labels == ED, oedema, healthy)
    tumour = (scene.labels > 0).astype(np.float32)
    share = scene.anatomy.grid.gaussian_blur(tumour, contrast.oedema_margin_mm)
    share = share**_MARGIN_EXPONENT * (1 - scene.anatomy.csf)
    return np.asarray(healthy + share * (oedema - healthy))


def _healthy_signal(contrast: Contrast, scene: Scene) -> Float32[NDArray, "d h w"]:
    """Signal of the same brain without a tumour."""
    brain, s = scene.anatomy, contrast.signal
    grey = s["grey"] * (1 + 0.05 * scene.coarse_texture)
    tissue = brain.white + grey * brain.grey + s["csf"] * brain.csf
    tissue *= (1 + 0.025 * scene.texture) * (1 + contrast.iron * brain.iron)
    if contrast.parenchyma_texture:
        tissue += np.float32(contrast.parenchyma_texture) * scene.texture * (1 - brain.csf)
    tissue += scene.dura * (s["dura"] - tissue)
    return np.asarray(tissue + contrast.lesion * scene.lesions)


def _simulate_scanner(
    tissue: Float32[NDArray, "d h w"], contrast: Contrast, rng: np.random.Generator, grid: PhantomGrid
) -> Float32[NDArray, "d h w"]:
    """Blur, average into slices, add Rician noise, interpolate back to the grid."""
    voxel_mm = grid.voxel_mm
    if any(contrast.shift_mm):
        tissue = ndimage.shift(tissue, np.array(contrast.shift_mm) / voxel_mm, order=1)
    slices = tissue.shape[contrast.slice_axis]
    to_slices, to_voxels = slicing_matrices(slices, contrast.slice_thickness_mm / voxel_mm)
    for axis in range(3):
        blur = blur_matrix(tissue.shape[axis], contrast.blur_mm / voxel_mm)
        matrix = to_slices.astype(float) @ blur if axis == contrast.slice_axis else blur
        tissue = apply_along_axis(tissue, matrix.astype(np.float32), axis)
    # A voxel of 2 mm averages the noise of eight voxels of 1 mm.
    noise = np.float32(contrast.noise / voxel_mm**1.5)
    real, imaginary = (noise * rng.standard_normal(tissue.shape, dtype=np.float32) for _ in range(2))
    scan = np.sqrt((tissue + real) ** 2 + imaginary**2)
    if len(to_slices) == len(to_voxels):
        return np.asarray(scan)
    return apply_along_axis(scan, to_voxels, contrast.slice_axis)

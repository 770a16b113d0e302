"""Turn a labelled brain into T1, T1ce, T2 and FLAIR scans.

Tissue gets its signal; the scanner then blurs, averages into slices, adds Rician noise (Gudbjartsson
and Patz 1995) and shades.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Bool, Float32, Int16, UInt8
from numpy.typing import NDArray
from scipy import ndimage

from glioseg.data.phantom import random_fields
from glioseg.data.phantom.anatomy import Anatomy
from glioseg.data.phantom.contrast import Look
from glioseg.data.phantom.grid import Canvas
from glioseg.data.phantom.sampling import HeadPlan, TumourPlan
from glioseg.data.phantom.tumour import CAVITY, ED, ET, NCR

_GENEROUS = 1.6
"""Makes a soft margin fade inside the label, where half of it would lie outside."""


@dataclass(frozen=True)
class Scene:
    """What every modality of a case shares, each map (D, H, W).

    Attributes:
        anatomy, labels: the brain and the tumour in it.
        dura: what skull-stripping left outside the CSF, 0 to 1.
        vessels: 1 on the centre line of a vessel.
        uptake: where contrast agent brightens healthy tissue: vessels and choroid plexus.
        lesions: white-matter hyperintensities, 0 to 1.
        texture, patches: unit-variance noise, fine and coarse, that makes tissue look uneven.
        blood: blood products, 0 to 1.
        fluid: cysts, in a core.
    """

    anatomy: Anatomy
    labels: UInt8[NDArray, "d h w"]
    dura: Float32[NDArray, "d h w"]
    vessels: Float32[NDArray, "d h w"]
    uptake: Float32[NDArray, "d h w"]
    lesions: Float32[NDArray, "d h w"]
    blood: Float32[NDArray, "d h w"]
    fluid: Bool[NDArray, "d h w"]
    texture: Float32[NDArray, "d h w"]
    patches: Float32[NDArray, "d h w"]


def build_scene(
    anatomy: Anatomy,
    labels: UInt8[NDArray, "d h w"],
    *,
    head: HeadPlan,
    tumour: TumourPlan,
    rng: np.random.Generator,
) -> Scene:
    """Draw what looks like tumour but is not, and the textures that all modalities share."""
    noise = partial(anatomy.canvas.noise, rng)
    grain = [noise(spacing_mm) for spacing_mm in (2.0, 4.0, 8.0)]
    texture = (grain[0] + grain[1] + grain[2]) / np.float32(np.sqrt(3))
    healthy = (labels == 0) & anatomy.brain
    spots = noise(4.0) + np.float32(3.2) * anatomy.lining
    lesions = np.clip(2 * (spots - 3.6 + 0.9 * head.lesion_load), 0, 1) * anatomy.white * healthy
    core = np.isin(labels, (NCR, ET))
    blood = np.clip(noise(6.0) - 1.0, 0, 1) * (core & tumour.bleeding)
    vessels = _vessels(anatomy, rng) * ~core
    plexus = anatomy.plexus * (texture > -0.4) * (labels == 0)
    return Scene(
        anatomy=anatomy,
        labels=labels,
        dura=np.clip(4 * anatomy.edge - 2.6 + head.remnants + 0.7 * grain[2], 0, 1) * (labels == 0),
        vessels=vessels,
        uptake=vessels + np.float32(0.4) * plexus,
        lesions=lesions,
        blood=blood,
        fluid=_fluid(labels, tumour.fluid, noise),
        texture=texture,
        patches=grain[2],
    )


def _fluid(
    labels: UInt8[NDArray, "d h w"], share: float, noise: Callable[[float], Float32[NDArray, "d h w"]]
) -> Bool[NDArray, "d h w"]:
    """Cysts: where smooth noise is high in what does not enhance of a core."""
    core = labels == NCR
    if not share or not core.any():
        return np.zeros(labels.shape, bool)
    where = noise(14.0)
    return np.asarray(core & (where >= np.quantile(where[core], 1 - share)))


def _vessels(anatomy: Anatomy, rng: np.random.Generator) -> Float32[NDArray, "d h w"]:
    """Thin tubes where two noise fields are zero at once, dense in the sulci; and the sagittal sinus."""
    noise = partial(anatomy.canvas.noise, rng)
    one, two = (noise(7.0) for _ in range(2))
    tubes = np.exp(-(one**2 + two**2) / np.float32(2 * 0.13**2))
    tubes *= np.clip(anatomy.csf + anatomy.grey * 0.5 + 0.04 + 0.8 * anatomy.edge, 0, 1)
    tubes *= 1 - anatomy.chamber
    tubes *= np.clip(0.6 + 0.4 * noise(14.0), 0, 1)
    sinus = np.exp(-(anatomy.midline_mm**2) / 5) * np.clip(2.5 * anatomy.edge - 0.6, 0, 1)
    return np.asarray(np.clip(tubes + sinus, 0, 1) * anatomy.brain)


def render(look: Look, scene: Scene, rng: np.random.Generator) -> Int16[NDArray, "d h w"]:
    """One scan of the scene, 0 outside the brain and at least 1 inside it."""
    canvas, brain = scene.anatomy.canvas, scene.anatomy.brain
    scan = _acquire(_signal(look, scene), look, rng, canvas)
    scan *= np.exp(np.float32(look.shading) * canvas.noise(rng, 55.0))
    if look.gamma != 1:
        scan = np.clip(scan, 0, None) ** np.float32(look.gamma)
    if look.ceiling < 1:
        scan = np.minimum(scan, np.quantile(scan[brain], look.ceiling))
    level = np.clip(np.rint(scan * np.float32(look.level)), 1, np.iinfo(np.int16).max)
    return np.where(brain, level, 0).astype(np.int16)


def _signal(look: Look, scene: Scene) -> Float32[NDArray, "d h w"]:
    """Noise-free signal relative to white matter."""
    s = look.signal
    healthy = _healthy(look, scene)
    uneven = 1 + 0.14 * look.unevenness * scene.patches
    # Oedema keeps a trace of the tissue that it soaks.
    oedema = (look.soak * s["ed"] + (1 - look.soak) * healthy * s["ed"] ** 0.5) * uneven
    tissue = _with_oedema(healthy, oedema, look, scene)
    for value, name, rough, spread, field in (
        (NCR, "ncr", 0.08, look.mottling, scene.texture),
        (ET, "et", 0.12, look.fading, scene.patches),
    ):
        inside = scene.labels == value
        tissue[inside] = s[name] * (1 + rough * look.unevenness * scene.texture[inside])
        tissue[inside] *= np.exp(spread * field[inside])
    tissue[scene.fluid] = s["fluid"]
    tissue[scene.labels == CAVITY] = s["csf"]
    tissue *= (1 + look.blood * scene.blood) * (1 + look.flow * scene.vessels)
    tissue += look.uptake * scene.uptake
    return np.asarray(tissue * scene.anatomy.brain)


def _with_oedema(
    healthy: Float32[NDArray, "d h w"], oedema: Float32[NDArray, "d h w"], look: Look, scene: Scene
) -> Float32[NDArray, "d h w"]:
    """Healthy tissue with the oedema in it, whose margin may be soft: raters draw it where it ends."""
    if not look.soft_mm:
        return np.where(scene.labels == ED, oedema, healthy)
    share = scene.anatomy.canvas.blurred((scene.labels > 0).astype(np.float32), look.soft_mm)
    share = share**_GENEROUS * (1 - scene.anatomy.csf)
    return np.asarray(healthy + share * (oedema - healthy))


def _healthy(look: Look, scene: Scene) -> Float32[NDArray, "d h w"]:
    """Signal as if there were no tumour."""
    brain, s = scene.anatomy, look.signal
    grey = s["grey"] * (1 + 0.05 * scene.patches)
    tissue = brain.white + grey * brain.grey + s["csf"] * brain.csf
    tissue *= (1 + 0.025 * scene.texture) * (1 + look.iron * brain.iron)
    tissue += scene.dura * (s["dura"] - tissue)
    return np.asarray(tissue + look.lesion * scene.lesions)


def _acquire(
    tissue: Float32[NDArray, "d h w"], look: Look, rng: np.random.Generator, canvas: Canvas
) -> Float32[NDArray, "d h w"]:
    """Blur, average into slices, add Rician noise, interpolate back to the canvas."""
    voxel_mm = canvas.voxel_mm
    if any(look.shift_mm):
        tissue = ndimage.shift(tissue, np.array(look.shift_mm) / voxel_mm, order=1)
    into, back = random_fields.slicing_matrices(tissue.shape[look.slice_axis], look.thickness_mm / voxel_mm)
    for axis in range(3):
        blur = random_fields.blur_matrix(tissue.shape[axis], look.blur_mm / voxel_mm)
        matrix = into.astype(float) @ blur if axis == look.slice_axis else blur
        tissue = random_fields.along(tissue, matrix.astype(np.float32), axis)
    # A voxel of 2 mm averages the noise of eight.
    noise = np.float32(look.noise / voxel_mm**1.5)
    real, imaginary = (noise * rng.standard_normal(tissue.shape, dtype=np.float32) for _ in range(2))
    scan = np.sqrt((tissue + real) ** 2 + imaginary**2)
    return scan if len(into) == len(back) else random_fields.along(scan, back, look.slice_axis)

"""What can be measured on a labelled case, real or synthetic, as training reads it.

Intensities are those of the network's input: mean 0 and standard deviation 1 in the brain, per modality.
Normal white and grey matter are the two brighter of three classes of T1 (Otsu 1979), at some distance from
the tumour. Real and synthetic cases are measured in the same way, so that errors of this step are alike.
"""

import numpy as np
from jaxtyping import Bool, Float, UInt8
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_multiotsu
from skimage.measure import marching_cubes, mesh_surface_area

from glioseg.core.labels import Label
from glioseg.core.modalities import MODALITIES

Image = Float[NDArray, "d h w 4"]
Labels = UInt8[NDArray, "d h w"]
Mask = Bool[NDArray, "d h w"]
Measures = dict[str, float]

NAMES = {"t1": "T1", "t1ce": "T1ce", "t2": "T2", "flair": "FLAIR"}
PARTS = {"NCR": Label.NCR, "ED": Label.ED, "ET": Label.ET}
MIN_ML = 0.1
"""A smaller tissue or component is not measured: its median is that of a few voxels."""
FAR_MM = 6.0
"""Distance from the tumour at which tissue counts as normal."""
EDGE_MM = 4.0
"""Thickness of the brain's edge, where cortex, vessels and remnants of dura lie."""
MIN_STEP = 0.3
"""Where the levels on the sides of a margin differ by less, its sharpness is that of noise."""
PROFILE_MM = np.arange(-8.0, 9.0, 2.0)
"""Ends of the bins of the signed distance from a margin; negative inside."""


def measure(image: Image, labels: Labels, spacing_mm: int) -> Measures:
    """All measures of a case; NaN where a case has too little of a tissue.

    Args:
        image: (D, H, W, 4) normalised, in LPS, 0 outside the brain.
        labels: values of `Label`.
        spacing_mm: edge of a voxel.
    """
    image = image.astype(np.float32)
    brain = image.any(axis=-1)
    white, grey, csf = normal_tissue(image, brain, labels, spacing_mm)
    return (
        volumes(labels, brain, spacing_mm)
        | contrasts(image, labels, white, grey, spacing_mm)
        | margins(image, labels, brain & ~csf, spacing_mm)
        | textures(image, labels, white, spacing_mm)
        | shapes(labels, brain, csf, spacing_mm)
        | edges(image, labels, brain, white, spacing_mm)
    )


def normal_tissue(image: Image, brain: Mask, labels: Labels, spacing_mm: int) -> tuple[Mask, Mask, Mask]:
    """Masks of white and grey matter at some distance from the tumour, and of CSF anywhere."""
    t1 = image[..., MODALITIES.index("t1")]
    tumour_mm = _distance_mm(labels > 0, spacing_mm) if labels.any() else np.full(brain.shape, np.inf)
    normal = ndimage.binary_erosion(brain) & (tumour_mm > FAR_MM)
    # Clipped: fat, remnants of dura, and the side of the brightest coil.
    ends = np.quantile(t1[normal], (0.01, 0.95))
    low, high = threshold_multiotsu(np.clip(t1[normal], *ends), classes=3)
    white = normal & ndimage.binary_erosion(t1 > high)
    return white, normal & (t1 > low) & (t1 <= high), brain & (t1 <= low)


def volumes(labels: Labels, brain: Mask, spacing_mm: int) -> Measures:
    """Volume of the brain, of each region and each tissue in ml, and shares."""
    ncr, ed, et = (_ml(labels == value, spacing_mm) for value in PARTS.values())
    core, whole = ncr + et, ncr + ed + et
    return {
        "brain, ml": _ml(brain, spacing_mm),
        "WT, ml": whole,
        "TC, ml": core,
        "ET, ml": et,
        "NCR, ml": ncr,
        "ED, ml": ed,
        "TC / WT": core / whole if whole else np.nan,
        "ET / TC": et / core if core else np.nan,
    }


def contrasts(image: Image, labels: Labels, white: Mask, grey: Mask, spacing_mm: int) -> Measures:
    """Median of each tissue less that of white and of grey matter, in standard deviations of the brain."""
    found: Measures = {}
    for channel, modality in enumerate(MODALITIES):
        volume, name = image[..., channel], NAMES[modality]
        levels = {"white": float(np.median(volume[white])), "grey": float(np.median(volume[grey]))}
        found[f"{name}: grey − white"] = levels["grey"] - levels["white"]
        for part, value in PARTS.items():
            inside = labels == value
            median = np.median(volume[inside]) if _ml(inside, spacing_mm) >= MIN_ML else np.nan
            found |= {f"{name}: {part} − {tissue}": median - level for tissue, level in levels.items()}
    return found


def margins(image: Image, labels: Labels, tissue: Mask, spacing_mm: int) -> Measures:
    """Step across the margins of WT and of TC, and the share of it that lies within 1 mm of the margin."""
    core, whole = (labels == Label.NCR) | (labels == Label.ET), labels > 0
    found: Measures = {}
    for name, modality, region, where in (
        ("FLAIR, margin of WT", "flair", whole, tissue & ~core),
        ("T2, margin of WT", "t2", whole, tissue & ~core),
        ("T1ce, margin of TC", "t1ce", core, tissue | whole),
        ("T1, margin of TC", "t1", core, tissue | whole),
    ):
        profile = _profile(image[..., MODALITIES.index(modality)], region, where, spacing_mm)
        inside, outside = np.mean(profile[1:4]), np.mean(profile[5:7])
        found[f"{name}: step"] = float(inside - outside)
        large = abs(inside - outside) > MIN_STEP
        found[f"{name}: share of the step within ±1 mm"] = (
            float((profile[3] - profile[4]) / (inside - outside)) if large else np.nan
        )
    return found


def _profile(
    volume: Float[NDArray, "d h w"], region: Mask, where: Mask, spacing_mm: int
) -> Float[NDArray, " bins"]:
    """Medians over the bins of `PROFILE_MM`; NaN in a bin of fewer than 50 voxels."""
    if not region.any():
        return np.full(len(PROFILE_MM) - 1, np.nan)
    signed = _distance_mm(region, spacing_mm) - _distance_mm(~region, spacing_mm)
    signed -= np.sign(signed) * spacing_mm / 2  # from the centre of the next voxel to the margin
    number = np.digitize(signed, PROFILE_MM)
    bins = (volume[where & (number == bin_)] for bin_ in range(1, len(PROFILE_MM)))
    return np.array([np.median(values) if values.size >= 50 else np.nan for values in bins])


def textures(image: Image, labels: Labels, white: Mask, spacing_mm: int) -> Measures:
    """Fine texture (deviation from the local mean), spread (10th to 90th percentile), and power spectra."""
    found: Measures = {}
    tissues = {"white": white} | {part: labels == value for part, value in PARTS.items()}
    for channel, modality in enumerate(MODALITIES):
        volume, name = image[..., channel], NAMES[modality]
        for part, inside in tissues.items():
            enough = _ml(inside, spacing_mm) >= 1.0
            found[f"{name}: texture of {part}"] = _local_deviation(volume, inside) if enough else np.nan
            if part != "white":
                low, high = np.quantile(volume[inside], (0.1, 0.9)) if enough else (np.nan, np.nan)
                found[f"{name}: spread of {part}"] = high - low
        found[f"{name}: spectral slope"] = _spectral_slope(volume, spacing_mm)
    return found


def _local_deviation(volume: Float[NDArray, "d h w"], inside: Mask) -> float:
    """Median over a mask of the standard deviation among the mask's voxels in blocks of 3³."""
    count, total, squares = (
        ndimage.uniform_filter(np.where(inside, values, 0).astype(np.float64), 3)
        for values in (np.ones_like(volume), volume, volume**2)
    )
    full = inside & (count > 0.6)
    if not full.any():
        return np.nan
    variance = squares[full] / count[full] - (total[full] / count[full]) ** 2
    return float(np.median(np.sqrt(np.clip(variance, 0, None))))


def _spectral_slope(volume: Float[NDArray, "d h w"], spacing_mm: int) -> float:
    """Slope of the logarithm of the radial power spectrum over that of the frequency, 1/40 to 1/5 per mm."""
    power = np.abs(np.fft.fftn(volume)) ** 2
    axes = np.meshgrid(*(np.fft.fftfreq(n, spacing_mm) for n in volume.shape), indexing="ij", sparse=True)
    frequency = np.sqrt(sum(axis**2 for axis in axes))
    ends = np.geomspace(1 / 40, 1 / 5, 11)
    number = np.digitize(frequency.ravel(), ends)
    means = [power.ravel()[number == bin_].mean() for bin_ in range(1, len(ends))]
    return float(np.polyfit(np.log(np.sqrt(ends[1:] * ends[:-1])), np.log(means), 1)[0])


def shapes(labels: Labels, brain: Mask, csf: Mask, spacing_mm: int) -> Measures:
    """Number of components, roundness, and position in the brain."""
    regions = {
        "WT": labels > 0,
        "TC": (labels == Label.NCR) | (labels == Label.ET),
        "ET": labels == Label.ET,
    }
    found: Measures = {}
    for name, region in regions.items():
        large = _component_ml(region, spacing_mm)
        found[f"{name}: components"] = float(np.sum(large >= MIN_ML))
        found[f"{name}: share of the largest component"] = (
            large.max() / large.sum() if large.any() else np.nan
        )
        found[f"{name}: sphericity"] = _sphericity(region, spacing_mm)
    whole, middle = regions["WT"], (np.flatnonzero(brain.any(axis=(1, 2)))[[0, -1]]).mean()
    left = np.count_nonzero(whole[: round(middle)])
    depth_mm = _distance_mm(~brain, spacing_mm)
    ventricles = _ventricles(csf & ~whole, depth_mm, spacing_mm)
    return found | {
        "WT: share in the other hemisphere": min(left, whole.sum() - left) / max(whole.sum(), 1),
        "WT: share at the brain's edge": float(np.mean(depth_mm[whole] < EDGE_MM)) if whole.any() else np.nan,
        "WT: median depth, mm": float(np.median(depth_mm[whole])) if whole.any() else np.nan,
        "WT: distance from the ventricles, mm": (
            float(_distance_mm(ventricles, spacing_mm)[whole].min())
            if whole.any() and ventricles.any()
            else np.nan
        ),
        "WT: thickness, mm": (
            2 * float(np.quantile(_distance_mm(~whole, spacing_mm)[whole], 0.99)) if whole.any() else np.nan
        ),
    }


def _component_ml(region: Mask, spacing_mm: int) -> Float[NDArray, " n"]:
    components, _ = ndimage.label(region, np.ones((3, 3, 3)))
    sizes = np.bincount(components.ravel())[1:]
    return np.asarray(sizes * spacing_mm**3 / 1000 if sizes.size else np.zeros(1))


def _sphericity(region: Mask, spacing_mm: int) -> float:
    """Surface of the sphere of the same volume, divided by the region's surface (Wadell 1935)."""
    if _ml(region, spacing_mm) < 1.0:
        return np.nan
    padded = np.pad(region, 1).astype(np.float32)
    surface = mesh_surface_area(*marching_cubes(padded, 0.5, spacing=(spacing_mm,) * 3)[:2])
    volume = float(region.sum()) * spacing_mm**3
    return float(np.pi ** (1 / 3) * (6 * volume) ** (2 / 3) / surface)


def _ventricles(csf: Mask, depth_mm: Float[NDArray, "d h w"], spacing_mm: int) -> Mask:
    """Components of CSF of at least 1 ml, more than 25 mm inside the brain."""
    components, count = ndimage.label(csf & (depth_mm > 25))
    sizes = np.bincount(components.ravel(), minlength=count + 1)
    sizes[0] = 0
    return np.asarray(sizes[components] * spacing_mm**3 >= 1000)


def edges(image: Image, labels: Labels, brain: Mask, white: Mask, spacing_mm: int) -> Measures:
    """The brain's edge, outside the tumour: how bright it gets, and how much of it is bright."""
    edge = (
        brain & (_distance_mm(~brain, spacing_mm) < EDGE_MM) & (_distance_mm(labels > 0, spacing_mm) > FAR_MM)
    )
    found: Measures = {}
    for modality in ("t1ce", "flair", "t2"):
        volume, name = image[..., MODALITIES.index(modality)], NAMES[modality]
        level = np.median(volume[white])
        found[f"{name}: 99th percentile at the edge − white"] = float(np.quantile(volume[edge], 0.99) - level)
        found[f"{name}: 90th percentile at the edge − white"] = float(np.quantile(volume[edge], 0.9) - level)
    return found


def _distance_mm(region: Mask, spacing_mm: int) -> Float[NDArray, "d h w"]:
    """Distance of each voxel to the nearest voxel of a region."""
    if not region.any():
        return np.full(region.shape, np.inf)
    return np.asarray(ndimage.distance_transform_edt(~region, spacing_mm), np.float32)


def _ml(region: Mask, spacing_mm: int) -> float:
    return float(np.count_nonzero(region)) * spacing_mm**3 / 1000


def quantile_of(value: float, drawn: Float[NDArray, " n"]) -> float:
    """Share of the drawn values below a value, ties counted half; NaN without a value.

    >>> quantile_of(2.0, np.array([1.0, 2.0, 3.0, np.nan]))
    0.5
    """
    values = np.asarray(drawn, float)
    values = values[np.isfinite(values)]
    if not np.isfinite(value) or not values.size:
        return float("nan")
    return float(np.mean(values < value) + np.mean(values == value) / 2)

"""Scans at other spacings than 1 mm: the network gets the same scale, and segments as well."""

from dataclasses import replace

import numpy as np
import pytest

from glioseg.core.geometry import bounding_box, downsample, upsample
from glioseg.core.labels import LabelScheme, from_scheme, labels_from_regions, regions_from_labels
from glioseg.core.modalities import MODALITIES
from glioseg.core.nifti import Grid, Volume
from glioseg.data.phantom import make_case, plan_case
from glioseg.data.store.cropping import crop_and_normalise, crop_brain_mask, uncrop
from glioseg.evaluation.metrics import region_dice
from glioseg.evaluation.overlap import confusion_matrix
from glioseg.models.builtin import builtin_model
from glioseg.models.inference.calibration import apply_temperature
from glioseg.models.inference.loading import load_model
from glioseg.models.inference.postprocess import fill_core, final_labels
from glioseg.models.inference.predictor import Predictor
from tests.helpers.models import Formula, make_settings

VARIANTS = {"1 mm": (1, 1, 1), "2 mm": (2, 2, 2), "thick slices": (1, 1, 3), "half a millimetre": (0.5,) * 3}


@pytest.fixture(scope="module")
def phantom():
    index = next(i for i in range(99) if plan_case(index=i, seed=0).tumour.enhancing)
    return make_case(index=index, seed=0)


def resampled_to(data, spacing_mm):
    """An array of 1 mm at another spacing: means of whole blocks, or repeated voxels."""
    for axis, mm in enumerate(spacing_mm):
        if mm < 1:
            data = np.repeat(data, round(1 / mm), axis)
            continue
        whole = data.shape[axis] // mm
        blocks = data.take(range(whole * mm), axis)
        split = (*data.shape[:axis], whole, mm, *data.shape[axis + 1 :])
        data = blocks.reshape(split).mean(axis=axis + 1, dtype=np.float32)
    return data


def labels_at(labels, spacing_mm):
    """The labels of the regions that fill at least half of each voxel."""
    regions = np.moveaxis(regions_from_labels(labels), -1, 0).astype(np.float32)
    return labels_from_regions(np.stack([resampled_to(region, spacing_mm) for region in regions], axis=-1))


def grid_at(shape, spacing_mm):
    return Grid(shape, np.diag([-spacing_mm[0], -spacing_mm[1], spacing_mm[2], 1.0]))


def above_the_middle(batch):
    """WT, TC and ET are the voxels where T1, T1ce and T2 are in the upper half of their range."""
    three = batch[..., :3]
    middle = (three.max(axis=(0, 1, 2, 3)) + three.min(axis=(0, 1, 2, 3))) / 2
    return three >= middle - 1e-4


@pytest.fixture(scope="module")
def region_images(phantom):
    """The labels of a box around a tumour, and an image of each region."""
    labels = from_scheme(phantom.segmentation, LabelScheme.BRATS2021)
    labels = labels[bounding_box(labels > 0, margin_vox=6).slices]
    labels = labels[tuple(slice(n // 6 * 6) for n in labels.shape)]  # whole blocks of each variant
    regions = np.moveaxis(regions_from_labels(labels), -1, 0)
    return labels, dict(zip(MODALITIES, (np.float32(100) + 100 * region for region in regions), strict=False))


def segmented(region_images, spacing_mm):
    """Dice of a network at 2 mm that thresholds the images, and the shape of its input."""
    labels, images = region_images
    truth = fill_core(labels_at(labels, spacing_mm))  # post-processing fills the core
    network = Formula(above_the_middle)
    grid = grid_at(truth.shape, spacing_mm)
    scans = {name: Volume(resampled_to(data, spacing_mm), grid) for name, data in images.items()}
    prediction = Predictor((network,), make_settings(spacing_mm=2)).predict(scans)
    assert prediction.labels.shape == prediction.entropy_bits.shape == truth.shape
    voxel_ml = np.prod(spacing_mm) / 1000
    assert prediction.volumes["WT"].ml == pytest.approx((prediction.labels > 0).sum() * voxel_ml)
    return region_dice(confusion_matrix(truth, prediction.labels)), network.shapes[0]


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_network_gets_one_scale_whatever_the_scan_s_spacing(region_images, variant):
    exact, shape = segmented(region_images, VARIANTS["1 mm"])
    dice, input_shape = segmented(region_images, VARIANTS[variant])
    assert np.abs(np.subtract(input_shape, shape)).max() <= 2
    for region, value in dice.items():
        assert value >= exact[region] - 0.02


def test_a_scan_at_1_mm_is_not_resampled(phantom):
    images = {name: Volume(data, Grid(data.shape, phantom.affine)) for name, data in phantom.images.items()}
    settings, network = make_settings(spacing_mm=2, min_component_ml=0.1), Formula(above_the_middle)
    crop, placement = crop_and_normalise(images, margin_vox=settings.margin_vox)
    small = downsample(crop, 2)
    padded = np.pad(small, [(0, n % 2) for n in small.shape[:3]] + [(0, 0)])
    output = above_the_middle(padded[None])[0].astype(np.float32)[tuple(slice(n) for n in small.shape[:3])]
    regions = upsample(output, 2, placement.box.shape)
    brain = crop_brain_mask(images, placement)
    regions[~brain] = 0
    expected = uncrop(final_labels(regions, settings, voxel_ml=0.001), placement)
    prediction = Predictor((network,), settings).predict(images)
    assert prediction.labels.tobytes() == expected.tobytes()
    assert (
        prediction.probabilities.values.tobytes()
        == apply_temperature(regions[brain], settings.temperature).tobytes()
    )


def test_the_builtin_model_segments_a_scan_at_2_mm_as_well_as_one_at_1_mm(phantom):
    predictor = load_model(builtin_model())
    predictor = replace(predictor, settings=replace(predictor.settings, mirror=False))
    labels = from_scheme(phantom.segmentation, LabelScheme.BRATS2021)
    dice = {}
    for name in ("1 mm", "2 mm"):
        truth = labels_at(labels, VARIANTS[name])
        grid = grid_at(truth.shape, VARIANTS[name])
        scans = {
            m: Volume(resampled_to(data, VARIANTS[name]).astype(np.float32), grid)
            for m, data in phantom.images.items()
        }
        prediction = predictor.predict(scans)
        dice[name] = region_dice(confusion_matrix(truth, prediction.labels))
        assert prediction.low_confidence_reasons == ()  # the volume of the brain is not unusual
    for region, value in dice["2 mm"].items():
        assert value >= dice["1 mm"][region] - 0.03

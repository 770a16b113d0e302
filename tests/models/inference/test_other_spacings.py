"""Scans that are not at 1 mm: the same patient is seen at one scale, and segmented as well."""

from dataclasses import replace

import numpy as np
import pytest

from glioseg.core.geometry import bounding_box, downsample, upsample
from glioseg.core.labels import Scheme, from_scheme, labels_from_regions, regions_from_labels
from glioseg.core.modalities import MODALITIES
from glioseg.core.nifti import Grid, Volume
from glioseg.data.phantom import make_case, plan_case
from glioseg.data.store.cropping import crop_brain, crop_images, uncrop
from glioseg.evaluation.metrics import region_dice
from glioseg.evaluation.overlap import confusion
from glioseg.models.builtin import builtin_model
from glioseg.models.inference.calibration import calibrate
from glioseg.models.inference.postprocess import fill_core, final_labels
from glioseg.models.inference.predictor import Segmenter, load_model
from tests.helpers.models import Formula, make_settings

VARIANTS = {"1 mm": (1, 1, 1), "2 mm": (2, 2, 2), "thick slices": (1, 1, 3), "half a millimetre": (0.5,) * 3}


@pytest.fixture(scope="module")
def phantom():
    index = next(i for i in range(99) if plan_case(index=i, seed=0).tumour.enhancing)
    return make_case(index=index, seed=0)


def drawn_at(data, spacing_mm):
    """An array of 1 mm in other voxels: means of whole blocks, or equal parts of a voxel."""
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
    """Of each voxel the regions that hold at least half of it."""
    regions = np.moveaxis(regions_from_labels(labels), -1, 0).astype(np.float32)
    return labels_from_regions(np.stack([drawn_at(region, spacing_mm) for region in regions], axis=-1))


def grid_at(shape, spacing_mm):
    return Grid(shape, np.diag([-spacing_mm[0], -spacing_mm[1], spacing_mm[2], 1.0]))


def above_the_middle(batch):
    """WT, TC and ET are where T1, T1ce and T2 are nearer to their highest than to their lowest value."""
    three = batch[..., :3]
    middle = (three.max(axis=(0, 1, 2, 3)) + three.min(axis=(0, 1, 2, 3))) / 2
    return three >= middle - 1e-4


@pytest.fixture(scope="module")
def shown(phantom):
    """The labels of a box around a tumour, and images that show a region each."""
    labels = from_scheme(phantom.segmentation, Scheme.BRATS2021)
    labels = labels[bounding_box(labels > 0, margin_vox=6).slices]
    labels = labels[tuple(slice(n // 6 * 6) for n in labels.shape)]  # whole blocks of each variant
    regions = np.moveaxis(regions_from_labels(labels), -1, 0)
    return labels, dict(zip(MODALITIES, (np.float32(100) + 100 * region for region in regions), strict=False))


def segmented(shown, spacing_mm):
    """Dice of a network at 2 mm that knows what the images show, and the shape of what it saw."""
    labels, images = shown
    truth = fill_core(labels_at(labels, spacing_mm))  # no answer has oedema in a core
    network = Formula(above_the_middle)
    grid = grid_at(truth.shape, spacing_mm)
    scans = {name: Volume(drawn_at(data, spacing_mm), grid) for name, data in images.items()}
    answer = Segmenter((network,), make_settings(spacing_mm=2)).answer(scans)
    assert answer.labels.shape == answer.entropy_bits.shape == truth.shape
    voxel_ml = np.prod(spacing_mm) / 1000
    assert answer.volumes["WT"].ml == pytest.approx((answer.labels > 0).sum() * voxel_ml)
    return region_dice(confusion(truth, answer.labels)), network.shapes[0]


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_patient_is_seen_at_one_scale_whatever_the_scan_s_spacing(shown, variant):
    exact, shape = segmented(shown, VARIANTS["1 mm"])
    dice, seen = segmented(shown, VARIANTS[variant])
    assert np.abs(np.subtract(seen, shape)).max() <= 2
    for region, value in dice.items():
        assert value >= exact[region] - 0.02


def test_a_scan_at_1_mm_has_the_labels_that_it_had_without_resampling(phantom):
    images = {name: Volume(data, Grid(data.shape, phantom.affine)) for name, data in phantom.images.items()}
    settings, network = make_settings(spacing_mm=2, min_component_ml=0.1), Formula(above_the_middle)
    crop, placement = crop_images(images, margin_vox=settings.margin_vox)
    small = downsample(crop, 2)
    padded = np.pad(small, [(0, n % 2) for n in small.shape[:3]] + [(0, 0)])
    seen = above_the_middle(padded[None])[0].astype(np.float32)[tuple(slice(n) for n in small.shape[:3])]
    regions = upsample(seen, 2, placement.box.shape)
    brain = crop_brain(images, placement)
    regions[~brain] = 0
    expected = uncrop(final_labels(regions, settings, voxel_ml=0.001), placement)
    answer = Segmenter((network,), settings).answer(images)
    assert answer.labels.tobytes() == expected.tobytes()
    assert answer.probabilities.values.tobytes() == calibrate(regions[brain], settings.temperature).tobytes()


def test_the_builtin_model_segments_a_scan_at_2_mm_as_well_as_one_at_1_mm(phantom):
    segmenter = load_model(builtin_model())
    segmenter = replace(segmenter, settings=replace(segmenter.settings, mirror=False))
    labels = from_scheme(phantom.segmentation, Scheme.BRATS2021)
    dice = {}
    for name in ("1 mm", "2 mm"):
        truth = labels_at(labels, VARIANTS[name])
        grid = grid_at(truth.shape, VARIANTS[name])
        scans = {
            m: Volume(drawn_at(data, VARIANTS[name]).astype(np.float32), grid)
            for m, data in phantom.images.items()
        }
        answer = segmenter.answer(scans)
        dice[name] = region_dice(confusion(truth, answer.labels))
        assert answer.doubt == ()  # the volume of the brain is that of other brains
    for region, value in dice["2 mm"].items():
        assert value >= dice["1 mm"][region] - 0.03

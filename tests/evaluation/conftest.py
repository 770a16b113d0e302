"""A small head with a tumour on the patient's right, towards the face and the top."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from glioseg.core.geometry import Box
from glioseg.core.labels import REGIONS, Label, LabelScheme, regions_from_labels, to_scheme
from glioseg.core.modalities import MODALITIES
from glioseg.core.nifti import Grid, Volume, write_volume
from glioseg.data.cohort.cases import Case
from glioseg.data.store.cropping import Placement, crop_labels
from glioseg.evaluation.case_figure import Scan
from glioseg.models.inference.prediction import BrainProbabilities, Prediction, RegionVolume

SHAPE = (40, 48, 36)
CENTRE = (11, 15, 26)


def ball(radius_vox, centre=CENTRE, shape=SHAPE):
    places = np.indices(shape)
    return ((places - np.reshape(centre, (3, 1, 1, 1))) ** 2).sum(axis=0) <= radius_vox**2


def tumour(grow=0):
    labels = np.zeros(SHAPE, np.uint8)
    for radius, label in ((7, Label.ED), (5, Label.ET), (3, Label.NCR)):
        labels[ball(radius + grow)] = label
    return labels


def brain():
    places = (np.indices(SHAPE) + 0.5) / np.reshape(SHAPE, (3, 1, 1, 1)) - 0.5
    return (places**2).sum(axis=0) < 0.45**2


def make_prediction(labels, grid, *, low_ml=0.0, high_ml=9.0, level=0.875, sure=1.0, **outcomes):
    """A prediction of these labels, with probabilities `sure` and 1 − `sure`, and one interval."""
    placement = Placement(grid, Box((0, 0, 0), grid.lps_shape))
    inside = regions_from_labels(crop_labels(labels, placement)).reshape(-1, 3)
    brain = np.ones(placement.box.shape, bool)
    probabilities = BrainProbabilities(np.where(inside, sure, 1 - sure).astype(np.float32), brain, placement)
    volumes = {region: RegionVolume((low_ml + high_ml) / 2, low_ml, high_ml, level) for region in REGIONS}
    return Prediction(labels, np.zeros(labels.shape, np.float32), volumes, probabilities, **outcomes)


@dataclass(frozen=True)
class FunctionModel:
    """A model that predicts the result of a function."""

    predict: Callable


@pytest.fixture
def model_of():
    """Makes a model that always predicts these labels."""

    def make(labels, **given):
        return FunctionModel(
            lambda images: make_prediction(labels, next(iter(images.values())).grid, **given)
        )

    return make


@pytest.fixture
def scan():
    rng = np.random.default_rng(0)
    image = np.where(brain(), 100 + 60.0 * tumour() + rng.normal(0, 4, SHAPE), 0).astype(np.int16)
    return Scan(
        {"flair": image, "t1ce": image}, {"truth": tumour(), "prediction": tumour(1)}, (1.0, 1.0, 1.0)
    )


@pytest.fixture
def write_case(tmp_path):
    """Writes a case of a scheme and orientation to disk: dense truth and the case."""

    def write(name, scheme=LabelScheme.BRATS2021, labels=None, affine=None):
        truth = tumour() if labels is None else labels
        grid = Grid(SHAPE, np.diag([-1.0, -1, 1, 1]) if affine is None else affine)
        image = np.where(brain(), 100 + 60.0 * tumour(), 0).astype(np.int16)
        files: dict[str, Path] = {}
        for role in MODALITIES:
            files[role] = tmp_path / name / f"{name}_{role}.nii.gz"
            write_volume(files[role], Volume(image, grid))
        files["seg"] = tmp_path / name / f"{name}_seg.nii.gz"
        write_volume(files["seg"], Volume(to_scheme(truth, scheme).astype(np.float32), grid))
        return Case(name, files, scheme)

    return write

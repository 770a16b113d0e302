"""Displacements that are known because the tests made them, of structures seen in two contrasts."""

from functools import cache

import numpy as np
import pytest
from scipy import ndimage

from glioseg.core.modalities import MODALITIES
from glioseg.core.nifti import Grid, Volume
from glioseg.data.quality.registration import measure_displacements
from glioseg.params.contract import Contract

GRID = Grid((60, 72, 56), np.diag([-3.0, -3.0, 3.0, 1.0]))
BRAIN = (
    sum(
        ((np.arange(n).reshape([-1 if a == axis else 1 for a in range(3)]) - n / 2) / (0.4 * n)) ** 2
        for axis, n in enumerate(GRID.shape)
    )
    < 1
)
LIMIT_MM = Contract().registration.mm


@cache
def tissue():
    noise = np.random.default_rng(0).normal(size=GRID.shape)
    return np.digitize(ndimage.gaussian_filter(noise, 2.5), [-0.02, 0.02])


CONTRASTS = {"t1": (1, 2, 3), "t1ce": (1, 2, 4), "t2": (5, 3, 2), "flair": (2, 4, 3)}
"""Intensity of three tissues in each modality."""


def images(move=None, moved="flair", names=MODALITIES):
    """A case in which one modality is moved before all receive the same brain mask."""
    volumes = {}
    for seed, name in enumerate(names):
        noise = np.random.default_rng(seed).normal(0, 5, GRID.shape)
        data = 100 * np.array(CONTRASTS[name])[tissue()] + noise
        if move and name == moved:
            data = move(data)
        volumes[name] = Volume((data * BRAIN).astype(np.float32), GRID)
    return volumes


def rolled(*vox):
    return lambda data: np.roll(data, vox, (0, 1, 2))


def test_registered_images_of_other_contrasts_are_not_displaced():
    assert max(measure_displacements(images()).values()) < 1


@pytest.mark.parametrize("moved", ["t1", "flair"])
@pytest.mark.parametrize(("vox", "mm"), [((0, 2, 0), 6), ((-1, 1, 1), 3 * 3**0.5), ((0, 0, -8), 24)])
def test_the_moved_image_has_its_displacement_and_the_others_have_none(moved, vox, mm):
    found = measure_displacements(images(rolled(*vox), moved))
    assert found.pop(moved) == pytest.approx(mm, abs=0.7)
    assert max(found.values()) < LIMIT_MM


def test_a_rotation_displaces_the_octants():
    turn = lambda data: ndimage.rotate(data, 8, axes=(0, 1), reshape=False, order=1)  # noqa: E731
    found = measure_displacements(images(turn))
    # The centres of the octants are about 13 voxels of 3 mm from the axis: 39 mm times 0.14.
    assert found.pop("flair") == pytest.approx(5.4, abs=1.5)
    assert max(found.values()) < LIMIT_MM


def test_two_moved_of_four_are_both_displaced_from_the_others():
    both = images(rolled(0, 3, 0)) | {"t2": images(rolled(0, 3, 0), "t2")["t2"]}
    assert min(measure_displacements(both).values()) == pytest.approx(9, abs=0.7)


def test_of_two_images_each_is_displaced_from_the_other():
    found = measure_displacements(images(rolled(3, 0, 0), names=("t1", "flair")))
    assert found["t1"] == found["flair"] == pytest.approx(9, abs=0.7)


def test_one_image_and_a_brain_too_small_to_compare_give_no_displacement():
    corner, grid = (slice(20, 29),) * 3, Grid((9, 9, 9), GRID.affine)
    small = {name: Volume(volume.data[corner], grid) for name, volume in images().items()}
    assert measure_displacements(small) == {}
    assert measure_displacements(images(names=("t1",))) == {}
    empty = {name: Volume(np.zeros(GRID.shape, np.int16), GRID) for name in MODALITIES}
    assert measure_displacements(empty) == {}

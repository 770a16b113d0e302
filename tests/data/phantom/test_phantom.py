import numpy as np
import pytest
from scipy import ndimage
from skimage.measure import regionprops

from glioseg.core.modalities import MODALITIES
from glioseg.data.phantom import PLAN_SAMPLERS, case_name, make_case, plan_case, render_case
from glioseg.data.phantom.grid import GRID_1MM, PhantomGrid
from glioseg.data.store.cropping import downsample_image, downsample_labels, normalise_images

NCR, ED, ET = 1, 2, 4
COARSE = PhantomGrid(2)
SEED = 0
PLANS = [plan_case(index=index, seed=SEED) for index in range(200)]
ENHANCING = next(i for i, p in enumerate(PLANS) if p.tumour.enhancing and len(p.tumour.foci) == 1)
SOLID = next(i for i, p in enumerate(PLANS) if not p.tumour.enhancing)


@pytest.fixture(scope="module")
def case():
    return make_case(index=ENHANCING, seed=SEED)


@pytest.fixture(scope="module")
def solid():
    return make_case(index=SOLID, seed=SEED)


def test_volumes_have_the_form_of_a_brats_case(case):
    assert case.case == case_name(ENHANCING)
    assert tuple(case.images) == MODALITIES
    assert {(v.shape, v.dtype.name) for v in case.images.values()} == {((240, 240, 155), "int16")}
    assert (case.segmentation.shape, case.segmentation.dtype.name) == ((240, 240, 155), "uint8")
    assert set(np.unique(case.segmentation)) == {0, NCR, ED, ET}
    # In BraTS, voxel (0, 0, 0) is at (0, 239, 0) mm, and axes point left, posterior and superior.
    np.testing.assert_array_equal(case.affine @ [0, 0, 0, 1], [0, 239, 0, 1])
    np.testing.assert_array_equal(case.affine @ [1, 1, 1, 1], [-1, 238, 1, 1])


def test_a_case_without_enhancement_has_a_core_and_no_label_4(solid):
    assert set(np.unique(solid.segmentation)) == {0, NCR, ED}


@pytest.mark.parametrize("which", ["case", "solid"])
def test_background_is_zero_and_the_tumour_lies_in_one_brain(which, request):
    phantom = request.getfixturevalue(which)
    brains = [volume != 0 for volume in phantom.images.values()]
    for brain in brains:
        np.testing.assert_array_equal(brain, brains[0])
    assert ndimage.label(brains[0])[1] == 1
    assert 1100 < brains[0].sum() / 1000 < 2000  # ml
    assert all(volume.min() == 0 for volume in phantom.images.values())
    assert brains[0][phantom.segmentation > 0].all()


def test_the_same_index_and_seed_give_the_same_bytes(case):
    again = make_case(index=ENHANCING, seed=SEED)
    for name, volume in case.images.items():
        assert again.images[name].tobytes() == volume.tobytes()
    assert again.segmentation.tobytes() == case.segmentation.tobytes()
    assert (again.grade, again.age, again.survival_days) == (case.grade, case.age, case.survival_days)


def test_another_index_or_seed_gives_another_case(case, solid):
    assert (case.images["t1"] != solid.images["t1"]).mean() > 0.1
    assert plan_case(index=ENHANCING, seed=SEED + 1) != PLANS[ENHANCING]


def ratio(case, modality, label):
    """Median in a tissue, divided by the median of the brain outside the tumour."""
    volume, seg = case.images[modality], case.segmentation
    return np.median(volume[seg == label]) / np.median(volume[(seg == 0) & (volume > 0)])


def test_the_rim_is_bright_on_t1ce_only(case):
    assert ratio(case, "t1ce", ET) > 1.4
    assert ratio(case, "t1ce", ET) > 1.3 * ratio(case, "t1", ET)
    assert ratio(case, "t1ce", NCR) < ratio(case, "t1ce", ET)


@pytest.mark.parametrize("which", ["case", "solid"])
def test_oedema_and_core_are_bright_on_flair_and_t2(which, request):
    phantom = request.getfixturevalue(which)
    assert ratio(phantom, "flair", ED) > 1.25
    assert ratio(phantom, "t2", ED) > 1.1
    assert ratio(phantom, "t2", NCR) > 1.1


def test_a_tumour_is_no_ellipsoid(case):
    (whole,) = regionprops((case.segmentation > 0).astype(np.uint8))
    assert whole.solidity < 0.9


def render(preset, grid):
    return render_case(index=2, seed=4, sample_plan=PLAN_SAMPLERS[preset], grid=grid)[1]


@pytest.mark.parametrize("preset", ["typical", "domain_randomised"])
def test_a_case_at_2_mm_has_the_volumes_of_1_mm(preset):
    fine, coarse = (render(preset, grid) for grid in (GRID_1MM, COARSE))
    brain_ml = [np.sum(case.images["t1"] > 0) * ml for case, ml in ((fine, 0.001), (coarse, 0.008))]
    assert brain_ml[1] == pytest.approx(brain_ml[0], rel=0.03)
    tumour_ml = [np.sum(case.labels > 0) * ml for case, ml in ((fine, 0.001), (coarse, 0.008))]
    assert tumour_ml[1] == pytest.approx(tumour_ml[0], rel=0.15)


def test_a_case_at_2_mm_resembles_the_downsampled_case_at_1_mm():
    """The anatomy is the same; noise and the finest sulci limit the correlation of T1."""
    fine, coarse = (render("typical", grid) for grid in (GRID_1MM, COARSE))
    image = normalise_images(fine.images)
    averaged = downsample_image(image, 2).astype(np.float32)
    direct = normalise_images(coarse.images)
    inside = averaged.any(axis=-1) & direct.any(axis=-1)
    assert np.corrcoef(averaged[inside][:, 0], direct[inside][:, 0])[0, 1] > 0.75
    labels = downsample_labels(np.where(fine.labels == 4, 3, fine.labels).astype(np.uint8), 2)
    both = np.sum((labels > 0) & (coarse.labels > 0))
    assert 2 * both / (np.sum(labels > 0) + np.sum(coarse.labels > 0)) > 0.6

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage
from skimage.measure import regionprops

from glioseg.core.modalities import MODALITIES
from glioseg.data.phantom import make_case, name_of, plan_case, random_fields
from glioseg.data.phantom.anatomy import build_anatomy, to_work_mm
from glioseg.data.phantom.contrast import Look
from glioseg.data.phantom.rendering import build_scene, render
from glioseg.data.phantom.sampling import Focus, TumourPlan
from glioseg.data.phantom.tumour import grow

NCR, ED, ET = 1, 2, 4
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


@pytest.fixture(scope="module")
def brain():
    """The head of one case, without a tumour pushing it."""
    return build_anatomy(PLANS[0].head, pushes=[], rng=np.random.default_rng(1))


def test_volumes_have_the_form_of_a_brats_case(case):
    assert case.case == name_of(ENHANCING)
    assert tuple(case.images) == MODALITIES
    assert {(v.shape, v.dtype.name) for v in case.images.values()} == {((240, 240, 155), "int16")}
    assert (case.segmentation.shape, case.segmentation.dtype.name) == ((240, 240, 155), "uint8")
    assert set(np.unique(case.segmentation)) == {0, NCR, ED, ET}
    # BraTS: voxel (0, 0, 0) at (0, 239, 0) mm, axes to the left, posterior and superior.
    np.testing.assert_array_equal(case.affine @ [0, 0, 0, 1], [0, 239, 0, 1])
    np.testing.assert_array_equal(case.affine @ [1, 1, 1, 1], [-1, 238, 1, 1])


def test_a_case_without_enhancement_has_a_core_and_no_label_4(solid):
    assert set(np.unique(solid.segmentation)) == {0, NCR, ED}


@pytest.mark.parametrize("which", ["case", "solid"])
def test_background_is_zero_and_the_tumour_lies_in_one_brain(which, request):
    shown = request.getfixturevalue(which)
    brains = [volume != 0 for volume in shown.images.values()]
    for brain in brains:
        np.testing.assert_array_equal(brain, brains[0])
    assert ndimage.label(brains[0])[1] == 1
    assert 1100 < brains[0].sum() / 1000 < 2000  # ml
    assert all(volume.min() == 0 for volume in shown.images.values())
    assert brains[0][shown.segmentation > 0].all()


def test_the_same_index_and_seed_give_the_same_bytes(case):
    again = make_case(index=ENHANCING, seed=SEED)
    for name, volume in case.images.items():
        assert again.images[name].tobytes() == volume.tobytes()
    assert again.segmentation.tobytes() == case.segmentation.tobytes()
    assert (again.grade, again.age, again.survival_days) == (case.grade, case.age, case.survival_days)


def test_another_index_or_seed_is_another_patient(case, solid):
    assert (case.images["t1"] != solid.images["t1"]).mean() > 0.1
    assert plan_case(index=ENHANCING, seed=SEED + 1) != PLANS[ENHANCING]


def ratio(case, modality, label):
    """Median in a tissue over the median of what is not tumour."""
    volume, seg = case.images[modality], case.segmentation
    return np.median(volume[seg == label]) / np.median(volume[(seg == 0) & (volume > 0)])


def test_the_rim_is_bright_on_t1ce_only(case):
    assert ratio(case, "t1ce", ET) > 1.4
    assert ratio(case, "t1ce", ET) > 1.3 * ratio(case, "t1", ET)
    assert ratio(case, "t1ce", NCR) < ratio(case, "t1ce", ET)


@pytest.mark.parametrize("which", ["case", "solid"])
def test_oedema_and_core_are_bright_on_flair_and_t2(which, request):
    shown = request.getfixturevalue(which)
    assert ratio(shown, "flair", ED) > 1.25
    assert ratio(shown, "t2", ED) > 1.1
    assert ratio(shown, "t2", NCR) > 1.1


def test_oedema_follows_white_matter(brain):
    focus = Focus(site_mm=(28.0, -30.0, 30.0), core_ml=10.0, oedema_ml=40.0, rim_mm=3.0)
    labels = grown(focus, brain)
    near = ndimage.binary_dilation(labels > 0, iterations=8) & brain.brain & (labels == 0)
    assert brain.white[labels == ED].mean() > 0.75
    assert brain.white[labels == ED].mean() > 1.5 * brain.white[near].mean()
    assert brain.csf[labels == ED].max() < 0.5


def grown(focus, brain, **changes):
    plan = replace(
        TumourPlan((focus,), lobulation=0.6, rim_variation=0.4, gaps=0.1, bleeding=False), **changes
    )
    centre = to_work_mm(PLANS[0].head, focus.site_mm)
    return grow(plan, brain, centres_mm=[centre], rng=np.random.default_rng(2))


@pytest.mark.parametrize(("core_ml", "oedema_ml"), [(1.5, 4.0), (20.0, 50.0)])
def test_a_focus_takes_the_planned_volumes(core_ml, oedema_ml, brain):
    labels = grown(Focus((-28.0, 20.0, 22.0), core_ml, oedema_ml, rim_mm=3.0), brain)
    assert np.isin(labels, (NCR, ET)).sum() / 1000 == pytest.approx(core_ml, rel=0.2)
    assert (labels == ED).sum() / 1000 == pytest.approx(oedema_ml, rel=0.1)


def test_a_tumour_is_no_ellipsoid(case):
    (whole,) = regionprops((case.segmentation > 0).astype(np.uint8))
    assert whole.solidity < 0.9


def test_a_focus_grows_on_the_side_of_its_site(brain):
    labels = grown(Focus((-30.0, -30.0, 30.0), 10.0, 10.0, rim_mm=0.0), brain)
    # Axis 0 runs to the left, so x < 0 mm lies beyond the middle of the brain.
    assert np.argwhere(labels)[:, 0].mean() > np.argwhere(brain.brain)[:, 0].mean()


def test_tissue_fractions_sum_to_one(brain):
    total = brain.csf + brain.grey + brain.white
    np.testing.assert_allclose(total[brain.brain], 1, atol=1e-5)
    assert not total[~brain.brain].any()


def test_a_scan_without_noise_or_shading_shows_the_signal(brain):
    plan, rng = PLANS[0], np.random.default_rng(3)
    labels = np.zeros(brain.brain.shape, np.uint8)
    scene = build_scene(brain, labels, head=plan.head, tumour=plan.tumour, rng=rng)
    signal = dict.fromkeys(("csf", "grey", "dura", "ncr", "ed", "et", "fluid"), 1.0)
    flat = Look(signal, 1000.0, 1.0, 2, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    scan = render(flat, scene, rng)
    # White matter has signal 1 and level 1000; what is left is texture of 2.5 %.
    white = scan[brain.white > 0.99]
    assert white.mean() == pytest.approx(1000, abs=5)
    assert white.std() == pytest.approx(25, rel=0.25)


def test_plans_cover_the_cohort():
    foci = [plan.tumour.foci[0] for plan in PLANS]
    share = {
        "HGG": np.mean([plan.grade == "HGG" for plan in PLANS]),
        "left": np.mean([focus.site_mm[0] < 0 for focus in foci]),
        "no enhancement": np.mean([not plan.tumour.enhancing for plan in PLANS]),
        "multifocal": np.mean([len(plan.tumour.foci) > 1 for plan in PLANS]),
        "tiny": np.mean([focus.core_ml < 4 for focus in foci]),
    }
    expected = {"HGG": 0.77, "left": 0.5, "no enhancement": 0.21, "multifocal": 0.13, "tiny": 0.1}
    # Binomial standard error of a share of 200 is at most 0.035.
    assert share == pytest.approx(expected, abs=0.1)


def test_age_size_and_grade_tell_survival():
    known = [plan for plan in PLANS if plan.survival_days is not None]
    log_days = np.log([plan.survival_days for plan in known])
    traits = np.array([(plan.age, np.log(plan.tumour.core_ml), plan.grade == "HGG") for plan in known], float)
    correlation = np.corrcoef(traits.T, log_days)[-1, :-1]
    assert (correlation < [-0.25, -0.15, -0.25]).all()
    ages = {g: np.mean([p.age for p in PLANS if p.grade == g]) for g in ("HGG", "LGG")}
    assert ages["HGG"] > ages["LGG"] + 8
    known_by_grade = {g: np.mean([p.grade == g for p in known]) for g in ("HGG", "LGG")}
    assert known_by_grade["HGG"] > known_by_grade["LGG"]


def test_a_spline_reproduces_a_straight_line():
    line = random_fields.spline_matrix(20, 4.0) @ random_fields.knot_positions(20, 4.0)
    np.testing.assert_allclose(line, np.arange(20), atol=1e-5)


def test_thick_slices_average_and_interpolate():
    into, back = random_fields.slicing_matrices(21, 5.0)
    assert into.shape == (5, 21)
    np.testing.assert_allclose(back @ into @ np.ones(21), 1, atol=1e-6)
    np.testing.assert_allclose(back @ np.arange(5) * 5, np.arange(21), atol=1e-5)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_matrix_applies_along_one_axis(axis):
    rng = np.random.default_rng(4)
    array, matrix = (rng.normal(size=s).astype(np.float32) for s in ((4, 4, 4), (3, 4)))
    expected = np.moveaxis(np.tensordot(matrix, array, (1, axis)), 0, axis)
    np.testing.assert_allclose(random_fields.along(array, matrix, axis), expected, rtol=1e-5, atol=1e-6)

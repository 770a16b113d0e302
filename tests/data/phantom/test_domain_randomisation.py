"""The cohort that teaches: kinds of glioma, wide looks, and cases that are drawn as training reads them."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from glioseg.core.geometry import bounding_box
from glioseg.data.phantom import PLANS as PRESETS
from glioseg.data.phantom import draw, draw_case, plan_case
from glioseg.data.phantom.archetypes import ARCHETYPES
from glioseg.data.phantom.domain_randomisation import draw_randomised_plan
from glioseg.data.phantom.grid import FINE, Canvas
from glioseg.data.store.cropping import normalised
from glioseg.data.store.phantom_stream import DrawnCase, HeldCase, Stream
from glioseg.data.store.resolution import coarse_image, coarse_labels
from glioseg.models.training.patch_sampling import sample_batch
from glioseg.params import load_params

NCR, ED, ET = 1, 2, 4
COARSE = Canvas(2)
PLANS = [plan_case(index=index, seed=0, preset="domain_randomised") for index in range(400)]


def drawn(archetype, seed=0):
    plan_rng, *rngs = np.random.default_rng(seed).spawn(4)
    return draw(draw_randomised_plan(plan_rng, archetype), rngs=rngs, canvas=COARSE)


@pytest.fixture(scope="module")
def ring():
    return drawn("ring")


@pytest.fixture(scope="module")
def case():
    return DrawnCase(3, seed=5, preset="domain_randomised")


def test_shares_sum_to_one_and_cases_follow_them():
    assert sum(kind.share for kind in ARCHETYPES.values()) == pytest.approx(1)
    without = sum(kind.share for kind in ARCHETYPES.values() if kind.rim_mm is None)
    # Binomial standard error of a share of 400 is 0.025.
    assert np.mean([not plan.tumour.enhancing for plan in PLANS]) == pytest.approx(without, abs=0.08)


@pytest.mark.parametrize("name", ARCHETYPES)
def test_a_kind_is_drawn_within_its_ranges(name):
    kind = ARCHETYPES[name]
    for seed in range(20):
        tumour = draw_randomised_plan(np.random.default_rng(seed), name).tumour
        main = tumour.foci[0]
        assert kind.core_ml[0] <= main.core_ml <= kind.core_ml[1]
        assert kind.oedema_ml[0] <= main.oedema_ml <= kind.oedema_ml[1]
        assert kind.foci[0] <= len(tumour.foci) <= kind.foci[1]
        assert (main.rim_mm > 0) == (kind.rim_mm is not None)


def test_what_does_not_enhance_has_no_enhancing_voxel():
    labels = drawn("non_enhancing").labels
    assert set(np.unique(labels)) == {0, NCR, ED}


def test_a_solid_core_enhances_more_than_a_ring(ring):
    def share(labels):
        return np.sum(labels == ET) / np.isin(labels, (NCR, ET)).sum()

    assert share(drawn("solid").labels) > share(ring.labels)


def test_several_foci_lie_apart():
    counts = [ndimage.label(drawn("multifocal", seed).labels > 0)[1] for seed in range(4)]
    assert max(counts) > 1


def test_a_cavity_is_fluid_inside_the_core_and_no_tumour():
    plan_rng, *rngs = np.random.default_rng(1).spawn(4)
    plan = draw_randomised_plan(plan_rng, "resected")
    labels = draw(plan, rngs=rngs, canvas=COARSE).labels
    assert set(np.unique(labels)) <= {0, NCR, ED, ET}
    hole = ndimage.binary_fill_holes(labels > 0) & (labels == 0)
    core_ml = COARSE.voxels(1.0) ** -1 * np.isin(labels, (NCR, ET)).sum()
    assert hole.any()
    assert core_ml < 0.85 * plan.tumour.core_ml


def test_wide_looks_vary_more_than_typical_ones():
    typical = [plan_case(index=index, seed=0) for index in range(400)]
    for tissue in ("csf", "grey", "ed", "et"):
        wide, narrow = (
            np.std([np.log(plan.looks["flair"].signal[tissue]) for plan in plans])
            for plans in (PLANS, typical)
        )
        assert wide > 1.2 * narrow


def ring_seen(modality, **look):
    """The same ring on a still scanner, with this look of one modality; its labels."""
    plan_rng, *rngs = np.random.default_rng(3).spawn(4)
    plan = draw_randomised_plan(plan_rng, "ring")
    still = {"noise": 0.0, "shading": 0.0, "thickness_mm": 1.0, "blur_mm": 0.3, "gamma": 1.0, "ceiling": 1.0}
    seen = replace(plan.looks[modality], shift_mm=(0.0, 0.0, 0.0), **(still | look))
    case = draw(replace(plan, looks=plan.looks | {modality: seen}), rngs=rngs, canvas=COARSE)
    return case.images[modality].astype(float), case.labels


def test_a_soft_margin_fades_inside_the_label():
    (hard, labels), (soft, _) = (ring_seen("flair", soft_mm=mm) for mm in (0.0, 2.5))
    lost, gained = (hard - soft)[labels == ED].sum(), (soft - hard)[labels == 0].sum()
    # A margin that is only blurred gains outside what it loses inside: 1.09 here.
    assert 0 < gained < 0.6 * lost


@pytest.mark.parametrize(("modality", "name", "label"), [("t1ce", "fading", ET), ("t2", "mottling", NCR)])
def test_what_fades_or_is_mottled_differs_from_place_to_place_and_nothing_else_does(modality, name, label):
    (even, labels), (changed, _) = (ring_seen(modality, **{name: value}) for value in (0.0, 0.4))
    assert np.std(np.log(changed[labels == label] / even[labels == label])) > 0.5 * 0.4  # blur takes a part
    far = ndimage.binary_dilation(labels == label, iterations=4)  # beyond the scanner's blur
    np.testing.assert_array_equal(even[~far], changed[~far])


def test_a_core_dark_on_t2_where_it_is_bright_on_flair():
    (even, labels), (bright, _), (dark, _) = (ring_seen("t2", mottling=value) for value in (0.0, 0.3, -0.3))
    core = labels == NCR
    changes = [np.log(image[core] / even[core]) for image in (bright, dark)]
    assert np.corrcoef(*changes)[0, 1] < -0.9


@pytest.mark.parametrize(
    ("modality", "tissue", "low", "high"),
    [("t1ce", "et", 1.3, 3.0), ("t2", "ed", 1.3, 3.6), ("flair", "ed", 1.4, 3.8)],
)
def test_wide_looks_reach_from_faint_to_bright(modality, tissue, low, high):
    looks = [plan.looks[modality] for plan in PLANS]
    signals = [look.signal[tissue] for look in looks if look.mottling]
    assert low <= min(signals) < 1.1 * low
    assert 0.9 * high < max(signals) <= high


@pytest.mark.parametrize("preset", ["typical", "domain_randomised"])
def test_the_same_case_on_2_mm_has_the_volumes_of_1_mm(preset):
    fine, coarse = (draw_case(index=2, seed=4, plans=PRESETS[preset], canvas=c)[1] for c in (FINE, COARSE))
    brains = [np.sum(d.images["t1"] > 0) / c.voxels(1.0) for d, c in ((fine, FINE), (coarse, COARSE))]
    assert brains[1] == pytest.approx(brains[0], rel=0.03)
    tumours = [np.sum(d.labels > 0) / c.voxels(1.0) for d, c in ((fine, FINE), (coarse, COARSE))]
    assert tumours[1] == pytest.approx(tumours[0], rel=0.15)


def test_a_case_drawn_at_2_mm_looks_like_one_of_1_mm_that_was_averaged():
    """Anatomy is the same: T1 of both agree as well as noise and the finest folds let them."""
    fine, coarse = (draw_case(index=2, seed=4, plans=PRESETS["typical"], canvas=c)[1] for c in (FINE, COARSE))
    image = normalised(fine.images)
    averaged = coarse_image(image, 2).astype(np.float32)
    direct = normalised(coarse.images)
    inside = averaged.any(axis=-1) & direct.any(axis=-1)
    assert np.corrcoef(averaged[inside][:, 0], direct[inside][:, 0])[0, 1] > 0.75
    labels = coarse_labels(np.where(fine.labels == 4, 3, fine.labels).astype(np.uint8), 2)
    both = np.sum((labels > 0) & (coarse.labels > 0))
    assert 2 * both / (np.sum(labels > 0) + np.sum(coarse.labels > 0)) > 0.6


def test_opening_a_case_twice_draws_the_same(case):
    (image, label), (again, label_again) = case.open(2), case.open(2)
    assert image.tobytes() == again.tobytes()
    assert label.tobytes() == label_again.tobytes()


def test_a_drawn_case_is_what_training_reads(case):
    image, label = case.open(2)
    assert (image.dtype, label.dtype) == (np.float16, np.uint8)
    assert image.shape == (*label.shape, 4)
    assert set(np.unique(label)) <= {0, 1, 2, 3}
    inside = image.any(axis=-1)
    # The store's convention: mean 0 and deviation 1 over the brain, and the box fits it.
    np.testing.assert_allclose(image[inside].astype(float).mean(axis=0), 0, atol=0.01)
    np.testing.assert_allclose(image[inside].astype(float).std(axis=0), 1, atol=0.01)
    assert bounding_box(inside).shape == label.shape


def test_a_held_case_is_drawn_once_and_knows_its_resolution(case):
    held = HeldCase.draw(case, 2)
    assert held.open(2)[0] is held.open(2)[0]
    assert held.name == case.name
    with pytest.raises(ValueError, match="expected to be read at 2 mm, got 1"):
        held.open(1)


def test_a_stream_is_a_sequence_of_cases_that_differ():
    stream = Stream(10, seed=1, preset="typical")
    assert len(stream) == 10
    assert len({one.name for one in stream}) == 10
    assert stream[2:4] == [stream[2], stream[3]]
    assert stream[-1] == stream[9]
    with pytest.raises(IndexError):
        stream[10]


def test_a_step_of_training_draws_its_patients():
    train = load_params().train.model_copy(update={"patch_shape": (16, 16, 16), "batch_size": 1})
    stream = Stream(1000, seed=1, preset="domain_randomised")
    one, again = (sample_batch(7, stream, train=train, spacing_mm=2) for _ in range(2))
    assert one.images.shape == (1, 16, 16, 16, 4)
    assert one.images.tobytes() == again.images.tobytes()

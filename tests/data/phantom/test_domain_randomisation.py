"""Kinds of glioma and wide contrasts of the domain-randomised cohort."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from glioseg.data.phantom import plan_case, render_plan
from glioseg.data.phantom.domain_randomisation import ARCHETYPES, sample_randomised_plan
from glioseg.data.phantom.grid import PhantomGrid

NCR, ED, ET = 1, 2, 4
COARSE = PhantomGrid(2)
PLANS = [plan_case(index=index, seed=0, preset="domain_randomised") for index in range(400)]


def render(archetype, seed=0):
    plan_rng, *rngs = np.random.default_rng(seed).spawn(4)
    return render_plan(sample_randomised_plan(plan_rng, archetype), rngs=rngs, grid=COARSE)


@pytest.fixture(scope="module")
def ring():
    return render("ring")


def test_shares_sum_to_one_and_cases_follow_them():
    assert sum(archetype.share for archetype in ARCHETYPES.values()) == pytest.approx(1)
    without = sum(archetype.share for archetype in ARCHETYPES.values() if archetype.rim_mm is None)
    # Binomial standard error of a share of 400 is 0.025.
    assert np.mean([not plan.tumour.enhancing for plan in PLANS]) == pytest.approx(without, abs=0.08)


@pytest.mark.parametrize("name", ARCHETYPES)
def test_samples_of_an_archetype_are_within_its_ranges(name):
    archetype = ARCHETYPES[name]
    for seed in range(20):
        tumour = sample_randomised_plan(np.random.default_rng(seed), name).tumour
        main = tumour.foci[0]
        assert archetype.core_ml[0] <= main.core_ml <= archetype.core_ml[1]
        assert archetype.oedema_ml[0] <= main.oedema_ml <= archetype.oedema_ml[1]
        assert archetype.foci[0] <= len(tumour.foci) <= archetype.foci[1]
        assert (main.rim_mm > 0) == (archetype.rim_mm is not None)


def test_whole_tumours_reach_the_volumes_of_the_largest_real_ones():
    whole_ml = [sum(focus.core_ml + focus.oedema_ml for focus in plan.tumour.foci) for plan in PLANS]
    # The largest of fifty labelled BraTS cases has 255 ml.
    assert np.mean(np.array(whole_ml) > 255) > 0.01


def test_fewer_nodules_leave_flecks_of_enhancement():
    plan = sample_randomised_plan(np.random.default_rng(2), "faint")
    shares = []
    for threshold in (1.7, 3.0):
        tumour = replace(plan.tumour, rim_gaps=0.97, nodule_threshold=threshold)
        rngs = np.random.default_rng(2).spawn(3)
        labels = render_plan(replace(plan, tumour=tumour), rngs=rngs, grid=COARSE).labels
        shares.append(np.sum(labels == ET) / np.isin(labels, (NCR, ET)).sum())
    # A standard normal exceeds 1.7 in 4.5 % and 3.0 in 0.1 %; the rest of the rim adds to both.
    assert shares[1] < 0.6 * shares[0]


def test_a_non_enhancing_tumour_has_no_enhancing_voxel():
    labels = render("non_enhancing").labels
    assert set(np.unique(labels)) == {0, NCR, ED}


def test_a_solid_core_enhances_more_than_a_ring(ring):
    def share(labels):
        return np.sum(labels == ET) / np.isin(labels, (NCR, ET)).sum()

    assert share(render("solid").labels) > share(ring.labels)


def test_several_cores_lie_apart():
    # The oedema of several cores often merges, and satellites close to a large core merge with it.
    counts = [cores_of(render("multifocal", seed).labels) for seed in range(4)]
    assert np.mean(np.array(counts) > 1) >= 0.5


def cores_of(labels):
    """Number of connected components of the core of at least 0.1 ml."""
    components, _ = ndimage.label(np.isin(labels, (NCR, ET)), np.ones((3, 3, 3)))
    return np.sum(np.bincount(components.ravel())[1:] >= COARSE.voxel_count(0.1))


def test_a_resection_cavity_lies_inside_the_core_and_has_no_label():
    plan_rng, *rngs = np.random.default_rng(1).spawn(4)
    plan = sample_randomised_plan(plan_rng, "resected")
    labels = render_plan(plan, rngs=rngs, grid=COARSE).labels
    assert set(np.unique(labels)) <= {0, NCR, ED, ET}
    hole = ndimage.binary_fill_holes(labels > 0) & (labels == 0)
    core_ml = np.isin(labels, (NCR, ET)).sum() / COARSE.voxel_count(1.0)
    assert hole.any()
    assert core_ml < 0.85 * plan.tumour.core_ml


def test_wide_contrasts_vary_more_than_typical_ones():
    typical = [plan_case(index=index, seed=0) for index in range(400)]
    for tissue in ("csf", "grey", "ed", "et"):
        wide, narrow = (
            np.std([np.log(plan.contrasts["flair"].signal[tissue]) for plan in plans])
            for plans in (PLANS, typical)
        )
        assert wide > 1.2 * narrow


@pytest.mark.parametrize(
    ("modality", "tissue", "low", "high"),
    [
        ("t1", "ncr", 0.42, 1.12),  # from a cyst to cores that T1 hardly shows
        ("t2", "grey", 0.65, 1.75),
        ("flair", "grey", 0.82, 1.65),  # real grey matter is as often darker than white matter as brighter
    ],
)
def test_wide_contrasts_range_from_faint_to_bright(modality, tissue, low, high):
    contrasts = [plan.contrasts[modality] for plan in PLANS if plan.tumour.enhancing]
    signals = [contrast.signal[tissue] for contrast in contrasts if contrast.core_variation]
    assert low <= min(signals) < 1.1 * low
    assert 0.9 * high < max(signals) <= high


@pytest.mark.parametrize(
    ("modality", "tissue", "around", "low", "high"),
    [
        ("t1ce", "et", ("white", "ed", "ncr"), 1.1, 2.4),  # from faint enhancement to that of vessels
        ("t2", "ncr", ("ed",), 0.7, 1.75),
        ("flair", "et", ("ed",), 0.55, 1.5),
    ],
)
def test_the_signals_of_a_tumour_are_relative_to_the_tissue_around(modality, tissue, around, low, high):
    contrasts = [plan.contrasts[modality] for plan in PLANS if plan.tumour.enhancing]
    signals = [contrast.signal | {"white": 1.0} for contrast in contrasts if contrast.core_variation]
    ratios = [signal[tissue] / max(signal[name] for name in around) for signal in signals]
    assert low <= min(ratios) * 1.001 < 1.1 * low
    assert 0.9 * high < max(ratios) <= high * 1.001


@pytest.mark.parametrize("modality", ["t2", "flair"])
def test_oedema_is_brighter_than_white_and_grey_matter(modality):
    signals = [plan.contrasts[modality].signal for plan in PLANS if plan.contrasts[modality].core_variation]
    brighter = [signal["ed"] / max(1, signal["grey"]) for signal in signals]
    assert 1.0 < min(brighter) < 1.2

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from glioseg.data.phantom import render_plan
from glioseg.data.phantom.contrast import Contrast
from glioseg.data.phantom.domain_randomisation import sample_randomised_plan
from glioseg.data.phantom.grid import PhantomGrid
from glioseg.data.phantom.rendering import build_scene, render_scan

NCR, ED, ET = 1, 2, 4
COARSE = PhantomGrid(2)
CLEAN = {
    "noise": 0.0,
    "bias_field": 0.0,
    "slice_thickness_mm": 1.0,
    "blur_mm": 0.3,
    "gamma": 1.0,
    "clip_quantile": 1.0,
    "shift_mm": (0.0, 0.0, 0.0),
}
"""A scanner without artefacts."""


def test_a_scan_without_noise_or_bias_field_shows_the_signal(plan, brain):
    rng = np.random.default_rng(3)
    labels = np.zeros(brain.brain.shape, np.uint8)
    scene = build_scene(brain, labels, head=plan.head, tumour=plan.tumour, rng=rng)
    signal = dict.fromkeys(("csf", "grey", "dura", "ncr", "ed", "et", "fluid"), 1.0)
    flat = Contrast(signal, 1000.0, 1.0, 2, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    scan = render_scan(flat, scene, rng)
    # White matter has signal 1 and level 1000; the rest is texture of 2.5 %.
    white = scan[brain.white > 0.99]
    assert white.mean() == pytest.approx(1000, abs=5)
    assert white.std() == pytest.approx(25, rel=0.25)


def test_a_wide_sagittal_sinus_takes_up_contrast_agent_on_both_sides_of_the_middle(plan, brain):
    labels = np.zeros(brain.brain.shape, np.uint8)
    uptake = [
        build_scene(
            brain,
            labels,
            head=replace(plan.head, sinus_mm2=sinus_mm2),
            tumour=plan.tumour,
            rng=np.random.default_rng(4),
        ).vessels
        for sinus_mm2 in (5.0, 50.0)
    ]
    shell = (brain.surface > 0.9) & (np.abs(brain.midline_mm - 5) < 1)
    # 5 mm from the middle, exp(−25/5) is 0.007 and exp(−25/50) is 0.61.
    assert (uptake[1] - uptake[0])[shell].mean() == pytest.approx(0.6, abs=0.15)


def render_ring(modality, **changes):
    """One modality of the same ring-enhancing tumour without noise or artefacts, and its labels."""
    plan_rng, *rngs = np.random.default_rng(3).spawn(4)
    plan = sample_randomised_plan(plan_rng, "ring")
    contrast = replace(plan.contrasts[modality], **(CLEAN | changes))
    case = render_plan(replace(plan, contrasts=plan.contrasts | {modality: contrast}), rngs=rngs, grid=COARSE)
    return case.images[modality].astype(float), case.labels


def test_a_soft_margin_fades_inside_the_label():
    (hard, labels), (soft, _) = (render_ring("flair", oedema_margin_mm=mm) for mm in (0.0, 2.5))
    lost, gained = (hard - soft)[labels == ED].sum(), (soft - hard)[labels == 0].sum()
    # A blur alone would gain outside what it loses inside: 1.09 here.
    assert 0 < gained < 0.6 * lost


@pytest.mark.parametrize(
    ("modality", "name", "label"), [("t1ce", "enhancement_variation", ET), ("t2", "core_variation", NCR)]
)
def test_variation_within_a_tissue_changes_that_tissue_only(modality, name, label):
    (even, labels), (changed, _) = (render_ring(modality, **{name: value}) for value in (0.0, 0.4))
    assert np.std(np.log(changed[labels == label] / even[labels == label])) > 0.5 * 0.4  # blur reduces it
    far = ndimage.binary_dilation(labels == label, iterations=4)  # outside the scanner's blur
    np.testing.assert_array_equal(even[~far], changed[~far])


def test_texture_of_the_parenchyma_spares_csf(plan, brain):
    labels = np.zeros(brain.brain.shape, np.uint8)
    scene = build_scene(brain, labels, head=plan.head, tumour=plan.tumour, rng=np.random.default_rng(3))
    signal = dict.fromkeys(("csf", "grey", "dura", "ncr", "ed", "et", "fluid"), 1.0)
    flat = Contrast(signal, 1000.0, 1.0, 2, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    plain, rough = (
        render_scan(replace(flat, parenchyma_texture=value), scene, np.random.default_rng(5)).astype(float)
        for value in (0.0, 0.1)
    )
    white, fluid = (brain.white > 0.99) & (scene.dura == 0), brain.csf == 1
    # The texture has unit variance, so 0.1 of 1000 is 100.
    assert (rough - plain)[white].std() == pytest.approx(100, rel=0.15)
    assert np.abs(rough - plain)[fluid].max(initial=0) <= 1


def test_core_variation_of_the_opposite_sign_inverts_the_pattern():
    (even, labels), (bright, _), (dark, _) = (
        render_ring("t2", core_variation=value) for value in (0.0, 0.3, -0.3)
    )
    core = labels == NCR
    changes = [np.log(image[core] / even[core]) for image in (bright, dark)]
    assert np.corrcoef(*changes)[0, 1] < -0.9

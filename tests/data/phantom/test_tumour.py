from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from glioseg.data.phantom.anatomy import mni_to_box_mm
from glioseg.data.phantom.sampling import Focus, TumourPlan
from glioseg.data.phantom.tumour import grow_tumour

NCR, ED, ET = 1, 2, 4


@pytest.fixture
def grown(plan, brain):
    """A function that grows one focus in the brain, and returns the labels."""

    def grow(focus, **changes):
        tumour = TumourPlan((focus,), lobulation=0.6, rim_variation=0.4, rim_gaps=0.1, haemorrhage=False)
        centre = mni_to_box_mm(plan.head, focus.site_mm)
        rng = np.random.default_rng(2)
        return grow_tumour(replace(tumour, **changes), brain, centres_mm=[centre], rng=rng)

    return grow


def test_oedema_follows_white_matter(grown, brain):
    focus = Focus(site_mm=(28.0, -30.0, 30.0), core_ml=10.0, oedema_ml=40.0, rim_mm=3.0)
    labels = grown(focus)
    near = ndimage.binary_dilation(labels > 0, iterations=8) & brain.brain & (labels == 0)
    assert brain.white[labels == ED].mean() > 0.75
    assert brain.white[labels == ED].mean() > 1.5 * brain.white[near].mean()
    assert brain.csf[labels == ED].max() < 0.5


def test_infiltrating_tumour_spreads_through_the_cortex(grown, brain):
    focus = Focus(site_mm=(28.0, -30.0, 30.0), core_ml=5.0, oedema_ml=60.0, rim_mm=3.0)
    spared, infiltrated = (brain.grey[grown(focus, infiltration=speed) == ED].mean() for speed in (0.1, 0.9))
    # Half of a brain's tissue is grey matter, of which a front that is as fast there takes its share.
    assert spared < 0.2
    assert infiltrated > max(0.3, 1.8 * spared)


def test_a_round_core_is_closer_to_a_sphere(grown):
    focus = Focus((28.0, -30.0, 30.0), core_ml=15.0, oedema_ml=5.0, rim_mm=3.0)
    lengths_mm = []
    for roundness in (0.0, 1.0):
        core = np.argwhere(np.isin(grown(focus, roundness=roundness, lobulation=0.0), (NCR, ET)))
        lengths_mm.append(np.linalg.norm(core - core.mean(axis=0), axis=1).mean())
    # Mean distance of the points of a ball from its centre: 3/4 of the radius, 15.3 mm for 15 ml.
    assert lengths_mm[1] == pytest.approx(0.75 * 15.3, rel=0.08)
    assert lengths_mm[1] < lengths_mm[0]


def test_gaps_up_to_the_width_belong_to_the_tumour(grown):
    focus = Focus((28.0, -30.0, 30.0), core_ml=5.0, oedema_ml=40.0, rim_mm=0.0)
    open_, closed = (grown(focus, gap_mm=gap_mm, infiltration=0.9) > 0 for gap_mm in (0.0, 6.0))
    added = closed & ~open_
    assert not (open_ & ~closed).any()
    assert added.sum() > 0.01 * open_.sum()
    # A voxel of a gap of 6 mm is at most 3 mm from the tumour.
    assert ndimage.distance_transform_edt(~open_)[added].max() <= 3


@pytest.mark.parametrize(("core_ml", "oedema_ml"), [(1.5, 4.0), (20.0, 50.0)])
def test_a_focus_takes_the_planned_volumes(core_ml, oedema_ml, grown):
    labels = grown(Focus((-28.0, 20.0, 22.0), core_ml, oedema_ml, rim_mm=3.0))
    assert np.isin(labels, (NCR, ET)).sum() / 1000 == pytest.approx(core_ml, rel=0.2)
    assert (labels == ED).sum() / 1000 == pytest.approx(oedema_ml, rel=0.1)


def test_a_focus_grows_on_the_side_of_its_site(grown, brain):
    labels = grown(Focus((-30.0, -30.0, 30.0), 10.0, 10.0, rim_mm=0.0))
    # Axis 0 points to the left, so x < 0 mm is beyond the middle of the brain.
    assert np.argwhere(labels)[:, 0].mean() > np.argwhere(brain.brain)[:, 0].mean()

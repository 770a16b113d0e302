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


@pytest.mark.parametrize(("core_ml", "oedema_ml"), [(1.5, 4.0), (20.0, 50.0)])
def test_a_focus_takes_the_planned_volumes(core_ml, oedema_ml, grown):
    labels = grown(Focus((-28.0, 20.0, 22.0), core_ml, oedema_ml, rim_mm=3.0))
    assert np.isin(labels, (NCR, ET)).sum() / 1000 == pytest.approx(core_ml, rel=0.2)
    assert (labels == ED).sum() / 1000 == pytest.approx(oedema_ml, rel=0.1)


def test_a_focus_grows_on_the_side_of_its_site(grown, brain):
    labels = grown(Focus((-30.0, -30.0, 30.0), 10.0, 10.0, rim_mm=0.0))
    # Axis 0 points to the left, so x < 0 mm is beyond the middle of the brain.
    assert np.argwhere(labels)[:, 0].mean() > np.argwhere(brain.brain)[:, 0].mean()

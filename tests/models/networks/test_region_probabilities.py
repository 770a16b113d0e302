import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from glioseg.models.networks.region_probabilities import label_probabilities, region_probabilities

PROBABILITIES = arrays(np.float32, (2, 3, 1, 3), elements=st.floats(0, 1, width=32))


def one(*values):
    return np.array(values, np.float32).reshape(1, 1, 1, 3)


@pytest.mark.parametrize(
    ("channels", "regions"),
    [
        ((0.5, 0.5, 0.5), (3 / 4, 1 / 2, 1 / 4)),  # odds 1, 1, 1
        ((0.75, 0.5, 0.0), (4 / 5, 3 / 5, 0)),  # odds 3, 1, 0
        ((0, 0, 0), (0, 0, 0)),
        ((0, 0, 1), (1, 1, 1)),
        ((0, 1, 0), (1, 0, 0)),
    ],
)
def test_exclusive_labels_by_hand(channels, regions):
    answer = region_probabilities(one(*channels), "labels")
    np.testing.assert_allclose(answer.ravel(), regions, atol=1e-6)
    assert answer.dtype == np.float32


def test_regions_stay():
    given_ = one(0.2, 0.9, 0.1)
    assert region_probabilities(given_, "regions") is given_


@given(PROBABILITIES)
def test_regions_of_labels_are_nested(channels):
    wt, tc, et = np.moveaxis(region_probabilities(channels, "labels"), -1, 0)
    assert (wt <= 1 + 1e-6).all()
    assert (wt >= tc).all()
    assert (tc >= et).all()
    assert (et >= 0).all()


@given(PROBABILITIES)
def test_label_probabilities_are_a_distribution(regions):
    labels = label_probabilities(regions)
    assert (labels >= 0).all()
    np.testing.assert_allclose(labels.sum(axis=-1), 1, atol=1e-6)


def test_a_region_is_cut_to_the_one_around_it():
    # TC 0.9 is cut to WT's 0.6, ET stays 0.1: background 0.4, NCR 0.5, ED 0, ET 0.1.
    np.testing.assert_allclose(label_probabilities(one(0.6, 0.9, 0.1)).ravel(), [0.4, 0.5, 0, 0.1], atol=1e-7)

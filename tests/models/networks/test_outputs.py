"""Training targets of each output, and region and label probabilities from predictions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from glioseg.data.store.cropped_cases import StoredCase
from glioseg.models.networks.outputs import (
    label_probabilities,
    outcome_targets,
    region_probabilities,
    require_outcomes,
    target_channels,
    training_targets,
)
from glioseg.params.settings_file import ParamsError

LABELS = np.array([[0, 1, 2, 3]], np.uint8)
PROBABILITIES = arrays(np.float32, (2, 3, 1, 3), elements=st.floats(0, 1, width=32))


def case(tmp_path, grade=None, survival_days=None):
    return StoredCase(tmp_path / "a", grade, survival_days)


def test_regions_are_nested_and_labels_exclusive():
    assert target_channels(LABELS, "regions").sum(axis=-1).tolist() == [[0, 2, 1, 3]]
    assert target_channels(LABELS, "labels").sum(axis=-1).tolist() == [[0, 1, 1, 1]]


def test_grade_is_1_for_lgg_and_survival_is_in_years(tmp_path):
    cases = [case(tmp_path, "HGG", 365.25), case(tmp_path, "LGG"), case(tmp_path, None, 730.5)]
    np.testing.assert_array_equal(outcome_targets(cases, "grade"), [[0], [1], [np.nan]])
    np.testing.assert_array_equal(outcome_targets(cases, "survival"), [[1], [np.nan], [2]])


def test_every_scale_gets_the_full_resolution_target(tmp_path):
    names = ["segmentation", "segmentation_2", "grade"]
    truth = training_targets(LABELS, [case(tmp_path, "LGG")], outputs=names, target="labels")
    assert list(truth) == names
    assert truth["segmentation"].shape == truth["segmentation_2"].shape == (1, 4, 3)
    assert truth["grade"].tolist() == [[1.0]]


def test_an_outcome_that_is_unknown_for_all_cases_is_rejected(tmp_path):
    cases = [case(tmp_path, "HGG"), case(tmp_path)]
    require_outcomes(cases, ["segmentation", "grade"])
    with pytest.raises(ParamsError, match=r"train\.outputs: survival needs training cases .* none among 2"):
        require_outcomes(cases, ["segmentation", "survival"])


def channels_of_one_voxel(*values):
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
def test_probabilities_of_regions_from_exclusive_labels_by_hand(channels, regions):
    regions_found = region_probabilities(channels_of_one_voxel(*channels), "labels")
    np.testing.assert_allclose(regions_found.ravel(), regions, atol=1e-6)
    assert regions_found.dtype == np.float32


def test_region_channels_are_returned_unchanged():
    given_ = channels_of_one_voxel(0.2, 0.9, 0.1)
    assert region_probabilities(given_, "regions") is given_


@given(PROBABILITIES)
def test_regions_from_exclusive_labels_are_nested(channels):
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


def test_an_inner_region_is_at_most_as_probable_as_the_outer_one():
    # TC 0.9 is lowered to WT's 0.6, ET stays 0.1: background 0.4, NCR 0.5, ED 0, ET 0.1.
    labels = label_probabilities(channels_of_one_voxel(0.6, 0.9, 0.1))
    np.testing.assert_allclose(labels.ravel(), [0.4, 0.5, 0, 0.1], atol=1e-7)

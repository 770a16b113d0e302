"""The truth that each output of the network is compared with."""

import numpy as np
import pytest

from glioseg.core.settings_file import ParamsError
from glioseg.data.store.cropped_store import StoredCase
from glioseg.models.networks.targets import channels_from_labels, outcomes, require_outcomes, targets

LABELS = np.array([[0, 1, 2, 3]], np.uint8)


def case(tmp_path, grade=None, survival_days=None):
    return StoredCase(tmp_path / "a", grade, survival_days)


def test_regions_are_nested_and_labels_exclusive():
    assert channels_from_labels(LABELS, "regions").sum(axis=-1).tolist() == [[0, 2, 1, 3]]
    assert channels_from_labels(LABELS, "labels").sum(axis=-1).tolist() == [[0, 1, 1, 1]]


def test_grade_is_1_for_lgg_and_survival_is_in_years(tmp_path):
    cases = [case(tmp_path, "HGG", 365.25), case(tmp_path, "LGG"), case(tmp_path, None, 730.5)]
    np.testing.assert_array_equal(outcomes(cases, "grade"), [[0], [1], [np.nan]])
    np.testing.assert_array_equal(outcomes(cases, "survival"), [[1], [np.nan], [2]])


def test_every_scale_is_given_the_full_grid(tmp_path):
    names = ["segmentation", "segmentation_2", "grade"]
    truth = targets(LABELS, [case(tmp_path, "LGG")], outputs=names, target="labels")
    assert list(truth) == names
    assert truth["segmentation"].shape == truth["segmentation_2"].shape == (1, 4, 3)
    assert truth["grade"].tolist() == [[1.0]]


def test_an_outcome_that_no_case_has_is_refused(tmp_path):
    cases = [case(tmp_path, "HGG"), case(tmp_path)]
    require_outcomes(cases, ["segmentation", "grade"])
    with pytest.raises(ParamsError, match=r"train\.outputs: survival needs training cases .* none among 2"):
        require_outcomes(cases, ["segmentation", "survival"])

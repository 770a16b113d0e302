"""The quality estimator of a network, fitted on sound and corrupted cases."""

import numpy as np
import pytest

from glioseg.core.modalities import MODALITIES
from glioseg.models.selection.corruption_study import MAX_CASES, fit_quality_estimator, take_evenly
from glioseg.models.selection.unseen_case import unseen_cases
from tests.helpers.models import Formula, make_settings

IDENTITY = Formula(lambda batch: batch[..., :3])


class Case:
    """An image whose first three channels are the probabilities of a block of enhancing tumour."""

    def open(self, spacing_mm):
        label = np.zeros((10, 10, 10), np.uint8)
        label[3:7] = 3
        regions = np.where(label[..., np.newaxis] == 3, 0.95, 0.05) * np.ones(3)
        return np.concatenate([regions, np.ones((10, 10, 10, 1))], axis=-1).astype(np.float16), label


@pytest.mark.parametrize(
    ("count", "most", "taken"), [(3, 5, [0, 1, 2]), (10, 4, [0, 3, 6, 9]), (100, 3, [0, 50, 99])]
)
def test_items_are_taken_evenly(count, most, taken):
    assert take_evenly(range(count), most) == taken


def test_the_detector_is_fitted_on_evenly_spaced_cases(toys):
    training_cases = [toys[number % 5] for number in range(200)]
    opened = []

    class Watched:
        def __init__(self, number):
            self.number = number

        def open(self, spacing_mm):
            opened.append(self.number)
            return training_cases[self.number].open(spacing_mm)

    detector = fit_quality_estimator(
        unseen_cases([Case()], [IDENTITY]),
        make_settings(),
        training_cases=[Watched(number) for number in range(200)],
    ).out_of_distribution
    assert len(opened) == MAX_CASES
    assert (opened[0], opened[-1]) == (0, 199)
    assert detector.required_modalities == MODALITIES
    assert detector.limit > 0

import numpy as np
import pytest

from glioseg.core.modalities import MODALITIES
from glioseg.data.phantom.contrast import SIGNALS, SOLID_CORE, sample_contrast

CASES = 400


def contrasts(modality, *, enhancing=True):
    rng = np.random.default_rng(0)
    return [sample_contrast(modality, enhancing=enhancing, rng=rng) for _ in range(CASES)]


@pytest.mark.parametrize("modality", MODALITIES)
def test_signals_have_the_medians_of_the_table(modality):
    sampled = contrasts(modality)
    for tissue, (median, spread) in SIGNALS[modality].items():
        # Standard error of the median of a normal distribution: 1.25 spread / sqrt(n).
        error = 1.25 * spread / np.sqrt(CASES)
        logs = [np.log(contrast.signal[tissue]) for contrast in sampled]
        assert np.median(logs) == pytest.approx(np.log(median), abs=4 * error)


@pytest.mark.parametrize("modality", MODALITIES)
def test_a_core_without_enhancement_has_the_signal_of_solid_tumour(modality):
    logs = [np.log(contrast.signal["ncr"]) for contrast in contrasts(modality, enhancing=False)]
    assert np.median(logs) == pytest.approx(
        np.log(SOLID_CORE[modality]), abs=4 * 1.25 * 0.08 / np.sqrt(CASES)
    )


def test_thick_slices_are_less_frequent_on_t1ce():
    shares = {name: np.mean([c.slice_thickness_mm > 1 for c in contrasts(name)]) for name in ("t1", "t1ce")}
    # Binomial standard error of a share of 400 is at most 0.025.
    assert shares == pytest.approx({"t1": 0.5, "t1ce": 0.2}, abs=0.1)

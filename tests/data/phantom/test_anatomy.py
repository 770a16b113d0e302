import numpy as np


def test_tissue_fractions_sum_to_one(brain):
    total = brain.csf + brain.grey + brain.white
    np.testing.assert_allclose(total[brain.brain], 1, atol=1e-5)
    assert not total[~brain.brain].any()

"""A phantom for tests of the images of a case."""

import numpy as np
import pytest

from glioseg.data.phantom import PLAN_SAMPLERS, render_case
from glioseg.data.phantom.grid import PhantomGrid

UNSEEN_SEED = 77
"""Not the seed of the phantoms from which the classifier of modalities learned."""


@pytest.fixture(scope="session")
def phantom() -> dict[str, np.ndarray]:
    """The images of a typical phantom by modality, with voxels of 2 mm, LPS."""
    plan = PLAN_SAMPLERS["typical"]
    return render_case(index=0, seed=UNSEEN_SEED, sample_plan=plan, grid=PhantomGrid(2))[1].images

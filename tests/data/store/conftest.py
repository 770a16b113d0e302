import numpy as np
import pytest


@pytest.fixture
def arrays():
    """A normalised image and its labels, 4 voxels along each axis."""
    rng = np.random.default_rng(0)
    image = rng.normal(size=(4, 4, 4, 4)).astype(np.float32)
    return image, rng.integers(0, 4, (4, 4, 4), dtype=np.uint8)

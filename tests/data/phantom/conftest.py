import numpy as np
import pytest

from glioseg.data.phantom import plan_case
from glioseg.data.phantom.anatomy import Anatomy, build_anatomy
from glioseg.data.phantom.sampling import CasePlan


@pytest.fixture(scope="session")
def plan() -> CasePlan:
    return plan_case(index=0, seed=0)


@pytest.fixture(scope="session")
def brain(plan: CasePlan) -> Anatomy:
    """The head of one case, without a tumour that displaces it."""
    return build_anatomy(plan.head, mass_effects=[], rng=np.random.default_rng(1))

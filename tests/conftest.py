"""Shape annotations are checked while the tests run; real scans are used where they are given."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings
from jaxtyping import install_import_hook

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
install_import_hook(
    ["glioseg.geometry", "glioseg.labels", "glioseg.data", "glioseg.eval"], "beartype.beartype"
)

ROOT = Path(__file__).parents[1]

# A busy machine makes an example slow, which says nothing about the code.
settings.register_profile("glioseg", deadline=None, max_examples=50, derandomize=True)
settings.load_profile("glioseg")


@pytest.fixture(scope="session")
def real_scans() -> Path:
    """The folder of real BraTS scans, from GLIOSEG_REAL_SCANS or beside the repository."""
    folder = Path(os.environ.get("GLIOSEG_REAL_SCANS", ROOT.parent / "shared" / "brats_sample"))
    if not folder.is_dir():
        pytest.skip("no real scans: set GLIOSEG_REAL_SCANS to a BraTS folder")
    return folder


@pytest.fixture(scope="session")
def tiny_train() -> Callable:
    """Settings of a training of seconds; keyword arguments change them."""
    from glioseg.params import Train  # after the hook above, which checks what it imports

    def make(**changes):
        given = {
            "seed": 5,
            "epochs": 4,
            "steps_per_epoch": 3,
            "batch_size": 2,
            "patch_shape": (8, 8, 8),
            "tumour_fraction": 0.5,
            "learning_rate": 0.01,
            "cross_entropy_weight": 1.0,
            "augmentation_strength": 0.5,
            "patience": 10,
            "precision": "float32",
            "min_et_ml": (0.0,),
        }
        return Train.model_validate(given | changes)

    return make

import shutil

import keras
import numpy as np
import pandas as pd
import pytest

from glioseg.core.modalities import MODALITIES
from glioseg.core.nifti import Grid, Volume, write_volume
from glioseg.mlops.pretraining.phases import TrainedPhases, current_origin
from glioseg.models import builtin
from glioseg.models.networks.unet import build_unet
from glioseg.params.pretraining import load_pretraining
from tests.helpers.projects import ROOT


@pytest.fixture
def plan():
    """The repository's plan in small: a tiny network and few synthetic cases."""
    own = load_pretraining(ROOT / "pipelines/pretrain.yaml")
    small = {"patch_shape": (32, 32, 32), "precision": "float32"}
    phase = own.phases[-1].model_copy(update={"epochs": 1, "steps_per_epoch": 2})
    real = {
        "folds": 2,
        "phases": tuple(phase.model_copy(update={"seed": seed, "base_filters": 4}) for seed in (3, 4)),
        "inference": own.real.inference.model_copy(update={"mirror": False}),
    }
    return own.model_copy(
        update={
            "stream": own.stream.model_copy(update={"cases": 2}),
            "validation": tuple(part.model_copy(update={"cases": 1}) for part in own.validation[:1]),
            "network": own.network.model_copy(update={"depth": 3}),
            "train": own.train.model_copy(update=small),
            "inference": own.inference.model_copy(update={"mirror": False}),
            "phases": tuple(
                phase.model_copy(update={"seed": seed, "base_filters": filters})
                for seed, filters in ((1, 2), (2, 4))
            ),
            "real": own.real.model_copy(update=real),
        }
    )


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A folder with copies of the built-in models to replace, and with the files that publishing reads."""
    folder = tmp_path / "package"
    for attribute in ("FOLDER", "SYNTHETIC_FOLDER"):
        own = getattr(builtin, attribute)
        monkeypatch.setattr(builtin, attribute, shutil.copytree(own, folder / own.name))
    for name in ("requirements.lock", "contract.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    return folder


@pytest.fixture
def phases(plan, package, tmp_path):
    """Two phases that trained a network of four filters, which is random."""
    keras.utils.set_random_seed(0)
    network = plan.network
    model = build_unet(
        architecture=network.architecture,
        base_filters=4,
        depth=network.depth,
        dropout=network.dropout,
        heads=network.heads,
        deep_supervision=network.deep_supervision,
        outputs=("segmentation",),
        dtype="float32",
    )
    model.save(tmp_path / "trained.keras")
    history = pd.DataFrame({"phase": [1, 2], "fold": 0, "epoch": 0, "val_dice": [0.2, 0.3]})
    return TrainedPhases(tmp_path / "trained.keras", history, (current_origin(),) * 2)


@pytest.fixture
def real_folder(tmp_path):
    """A folder of five labelled cases, each with a cube of enhancing tumour of another size."""
    for number in range(5):
        write_case(tmp_path / "real", f"Case_{number}", tumour=4 + number)
    return tmp_path / "real"


def write_case(folder, name, *, tumour):
    """A labelled case of 24 voxels a side, with a bright cube of enhancing tumour in a brain of noise."""
    rng, labels = np.random.default_rng(tumour), np.zeros((24, 24, 24), np.uint8)
    labels[8 : 8 + tumour, 8:16, 8:16] = 4
    brain = np.pad(rng.integers(50, 150, (20, 20, 20)), 2).astype(np.int16)
    grid = Grid(labels.shape, np.diag([-1.0, -1, 1, 1]))
    (folder / name).mkdir(parents=True)
    for role in MODALITIES:
        image = np.where(labels > 0, 400, brain).astype(np.int16)
        write_volume(folder / name / f"{name}_{role}.nii.gz", Volume(image, grid))
    write_volume(folder / name / f"{name}_seg.nii.gz", Volume(labels, grid))

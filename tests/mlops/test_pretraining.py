"""Pretraining: the built-in model is trained in phases, and written into the package with its lineage."""

import json
import shutil
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

from glioseg.core.errors import GliosegError
from glioseg.core.fingerprint import files_fingerprint
from glioseg.core.labels import REGIONS
from glioseg.core.modalities import MODALITIES
from glioseg.core.nifti import Grid, Volume, write_volume
from glioseg.data import phantom
from glioseg.mlops import pretraining
from glioseg.mlops.pretraining import (
    TrainedPhase,
    calibrate_on_real_cases,
    generator_fingerprint,
    phase_key,
    publish,
    train_phases,
)
from glioseg.models import builtin
from glioseg.models.inference.model_settings import Settings
from glioseg.models.networks.weight_transfer import transfer_weights
from glioseg.models.selection import corruption_study
from glioseg.params.pretraining import load_pretraining
from tests.helpers.models import Formula

ROOT = Path(__file__).parents[2]


@pytest.fixture
def plan():
    """The repository's plan in small: a tiny network and few synthetic cases."""
    own = load_pretraining(ROOT / "pipelines/pretrain.yaml")
    small = {"patch_shape": (32, 32, 32), "precision": "float32"}
    phase = own.phases[-1].model_copy(update={"epochs": 1, "steps_per_epoch": 2})
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
        }
    )


@pytest.fixture
def package(tmp_path, monkeypatch):
    """The folder of a built-in model to replace, in a folder with the files that `publish` reads."""
    folder = shutil.copytree(builtin.FOLDER, tmp_path / "package" / "model")
    monkeypatch.setattr(builtin, "FOLDER", folder)
    for name in ("requirements.lock", "contract.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    return folder


def weights_of(trained):
    return keras.saving.load_model(trained.weights).get_weights()


@pytest.fixture
def trained(plan, shared_storage):
    """A finished phase: the file of its weights, which have no content, and its origin."""
    phase = TrainedPhase(
        shared_storage.folder / "pretrained" / f"{phase_key(plan, plan.phases[0], None)}.keras"
    )
    phase.weights.parent.mkdir(parents=True, exist_ok=True)
    phase.weights.touch()
    origin = {"sha": "0123456789", "generator": generator_fingerprint()}
    phase.origin.write_text(json.dumps(origin))
    yield phase
    shutil.rmtree(phase.weights.parent)


def test_phases_are_trained_once_each_from_the_weights_before_and_recorded_in_the_package(
    plan, package, shared_storage, monkeypatch
):
    started = []
    monkeypatch.setattr(corruption_study, "COPIES_PER_KIND", 1)
    monkeypatch.setattr(
        "glioseg.models.training.fit.transfer_weights",
        lambda model, file: started.append((file, transfer_weights(model, file))) or "taken",
    )
    phases = train_phases(plan, shared_storage)
    ((file, transfer),) = started
    assert (file, transfer.skipped) == (phases[0].weights, {})
    first, second = map(weights_of, phases)
    assert (first[0].shape[-1], second[0].shape[-1]) == (2, 4)  # the second phase is twice as wide
    assert train_phases(plan, shared_storage) == phases  # nothing is left to do
    assert len(started) == 1

    publish(plan, phases)
    assert builtin.builtin_model() == package
    for ours, theirs in zip(
        keras.saving.load_model(package / "model.keras").get_weights(), second, strict=True
    ):
        np.testing.assert_array_equal(ours, theirs.astype(np.float16).astype(np.float32))
    record = json.loads((package / builtin.RECORD).read_text())
    assert (record["steps"], len(record["trained"])) == (4, 2)
    assert record["trained"][0]["environment"] == files_fingerprint(
        [pretraining.REQUIREMENTS_LOCK], folder=Path()
    )
    assert record["trained"][0]["generator"] == generator_fingerprint()
    assert record["calibrated"]["computed_by"] == f"tensorflow {version('tensorflow')}, CPU"
    assert pd.read_csv(package / builtin.HISTORY)["phase"].tolist() == [1, 2]
    assert (package / builtin.CARD).exists()


@pytest.mark.parametrize("recorded", [{}, {"generator": "of another version"}])
def test_a_phase_of_another_generator_stays_and_is_reported(plan, shared_storage, trained, capsys, recorded):
    first = plan.model_copy(update={"phases": plan.phases[:1]})
    assert train_phases(first, shared_storage) == [trained]
    assert capsys.readouterr().out == ""
    trained.origin.write_text(json.dumps({"sha": "0123456789"} | recorded))
    assert train_phases(first, shared_storage) == [trained]
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("pretrain: phase 1 was trained at commit 0123456, with another version of the")
    assert line.endswith(f"delete {trained.weights}")


def test_an_interrupted_phase_continues_with_its_own_generator_only(
    plan, shared_storage, monkeypatch, capsys
):
    states = []

    def interrupt(*_, state, **__):
        state.mkdir(parents=True, exist_ok=True)
        states.append(state)
        raise KeyboardInterrupt

    monkeypatch.setattr(pretraining, "training_run", interrupt)
    monkeypatch.setattr(pretraining, "render_validation", lambda plan: [])
    for generator in ("one" * 4, "one" * 4, "two" * 4):
        monkeypatch.setattr(pretraining, "generator_fingerprint", lambda generator=generator: generator)
        with pytest.raises(KeyboardInterrupt):
            train_phases(plan, shared_storage)
    assert states[0] == states[1] != states[2]
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("pretrain: phase 1 begins again, because the phantom generator changed")
    assert line.endswith(str(states[0]))


def test_the_generator_is_the_package_of_phantoms(tmp_path, monkeypatch):
    copied = shutil.copytree(Path(phantom.__file__).parent, tmp_path / "phantom")
    before = generator_fingerprint()
    monkeypatch.setattr(phantom, "__file__", str(copied / "__init__.py"))
    assert generator_fingerprint() == before
    (copied / "tumour.py").write_text("# another generator")
    assert generator_fingerprint() != before


def write_case(folder, name, *, tumour):
    """A labelled case of 24 voxels a side, with a bright cube of enhancing tumour in a brain of noise."""
    rng, labels = np.random.default_rng(len(name)), np.zeros((24, 24, 24), np.uint8)
    labels[8 : 8 + tumour, 8:16, 8:16] = 4
    brain = np.pad(rng.integers(50, 150, (20, 20, 20)), 2).astype(np.int16)
    grid = Grid(labels.shape, np.diag([-1.0, -1, 1, 1]))
    (folder / name).mkdir(parents=True)
    for role in MODALITIES:
        image = np.where(labels > 0, 400, brain).astype(np.int16)
        write_volume(folder / name / f"{name}_{role}.nii.gz", Volume(image, grid))
    write_volume(folder / name / f"{name}_seg.nii.gz", Volume(labels, grid))


def test_confidence_of_the_package_is_learned_on_real_cases(package, tmp_path, monkeypatch):
    network = Formula(lambda batch: np.where(batch[..., :3] > 1, 0.9, 0.1))
    monkeypatch.setattr(pretraining, "load_networks", lambda folder: [network])
    for number in range(4):
        write_case(tmp_path / "real", f"Case_{number}", tumour=4 + number)
    with pytest.raises(GliosegError, match="expected at least 5 labelled cases, got 4"):
        calibrate_on_real_cases([tmp_path / "real"])
    write_case(tmp_path / "more", "Case_4", tumour=8)
    before, weights = Settings.load(package), (package / "model.keras").read_bytes()
    lines = calibrate_on_real_cases([tmp_path / "real", tmp_path / "more"])
    whens = ("with mirroring", "without mirroring")
    assert [line.partition(":")[0] for line in lines] == [f"{r} {when}" for when in whens for r in REGIONS]
    after = Settings.load(builtin.builtin_model())
    assert after.confidence != before.confidence
    assert (after.volume_intervals.cases, after.volume_intervals.level) == (5, 5 / 6)
    assert after.volume_intervals_unmirrored.cases == 5
    assert after.confidence_unmirrored.out_of_distribution == before.confidence.out_of_distribution
    same = {
        name: None for base in ("confidence", "volume_intervals") for name in (base, f"{base}_unmirrored")
    }
    assert replace(after, **same) == replace(before, **same)
    assert (package / "model.keras").read_bytes() == weights
    record = json.loads((package / builtin.RECORD).read_text())
    assert record["calibrated_on_real_cases"]["cases"] == [f"Case_{number}" for number in range(5)]
    assert set(record["calibrated_on_real_cases"]["left_out"]) == set(whens)
    assert record["trained"]  # the training stays in the record

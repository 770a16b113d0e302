"""The phases of pretraining: each is trained once, from the weights of the previous one."""

import shutil
from pathlib import Path

import keras
import pytest

from glioseg.data import phantom
from glioseg.mlops.pretraining import phases
from glioseg.mlops.pretraining.phases import generator_fingerprint, published_phases, train_phases
from glioseg.models import builtin
from glioseg.models.networks.weight_transfer import transfer_weights
from glioseg.params.pretraining import load_pretraining
from tests.helpers.projects import ROOT


def test_phases_are_trained_once_each_from_the_weights_before(plan, package, shared_storage, monkeypatch):
    started = []
    monkeypatch.setattr(
        "glioseg.models.training.fit.transfer_weights",
        lambda model, file: started.append((file, transfer_weights(model, file))) or "taken",
    )
    first = train_phases(plan.model_copy(update={"phases": plan.phases[:1]}), shared_storage)
    assert not started  # from random weights: the published model has other phases
    both = train_phases(plan, shared_storage)
    ((file, transfer),) = started
    assert (file, transfer.skipped) == (first.weights, {})
    one, two = (keras.saving.load_model(done.weights).get_weights() for done in (first, both))
    assert (one[0].shape[-1], two[0].shape[-1]) == (2, 4)  # the second phase is twice as wide
    assert both.history["phase"].tolist() == [1, 2]
    assert both.origins[0] == first.origins[0]
    again = train_phases(plan, shared_storage)
    assert (again.weights, len(started)) == (both.weights, 1)  # nothing is left to do


def test_an_interrupted_phase_continues_with_its_own_generator_only(
    plan, package, shared_storage, monkeypatch
):
    states = []

    def interrupt(*_, state, **__):
        states.append(state)
        raise KeyboardInterrupt

    monkeypatch.setattr(phases, "training_run", interrupt)
    monkeypatch.setattr(phases, "render_validation", lambda plan: [])
    other = plan.model_copy(update={"phases": plan.phases[1:]})
    for generator in ("one" * 4, "one" * 4, "two" * 4):
        monkeypatch.setattr(phases, "generator_fingerprint", lambda generator=generator: generator)
        with pytest.raises(KeyboardInterrupt):
            train_phases(other, shared_storage)
    assert states[0] == states[1] != states[2]


def test_the_generator_is_the_package_of_phantoms(tmp_path, monkeypatch):
    copied = shutil.copytree(Path(phantom.__file__).parent, tmp_path / "phantom")
    before = generator_fingerprint()
    monkeypatch.setattr(phantom, "__file__", str(copied / "__init__.py"))
    assert generator_fingerprint() == before
    (copied / "tumour.py").write_text("# another generator")
    assert generator_fingerprint() != before


def test_a_new_phase_starts_from_the_published_model(package, shared_storage, monkeypatch):
    whole = load_pretraining(ROOT / "pipelines/pretrain.yaml")
    published = published_phases(whole)
    assert published.weights == builtin.SYNTHETIC_FOLDER / "model.keras"
    assert len(published.origins) == len(whole.phases) == published.history["phase"].nunique()
    other = whole.model_copy(update={"stream": whole.stream.model_copy(update={"seed": 901})})
    assert published_phases(other).weights is None

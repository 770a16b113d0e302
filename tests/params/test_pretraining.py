"""pretrain.yaml: each phase overrides the shared settings, and invalid settings are named."""

import pytest
import yaml

from glioseg.params.pretraining import load_pretraining
from glioseg.params.settings_file import ParamsError
from tests.helpers.projects import ROOT

PRETRAIN = ROOT / "pipelines/pretrain.yaml"


def test_a_phase_overrides_the_shared_settings():
    pretraining = load_pretraining(PRETRAIN)
    phase = pretraining.phases[0].model_copy(update={"seed": 7, "epochs": 3, "base_filters": 5})
    stream, network, train = pretraining.of_phase(phase)
    assert stream == pretraining.stream.model_copy(update={"seed": pretraining.stream.seed + 7})
    assert (network.base_filters, network.depth) == (5, pretraining.network.depth)
    assert (train.seed, train.epochs, train.patch_shape) == (7, 3, pretraining.train.patch_shape)


def test_a_patch_that_the_network_cannot_halve_is_named(tmp_path):
    content = yaml.safe_load(PRETRAIN.read_text())
    content["train"]["patch_shape"] = [7, 8, 8]
    (tmp_path / "pretrain.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(ParamsError, match=r"pretrain\.yaml: train\.patch_shape: expected multiples of "):
        load_pretraining(tmp_path / "pretrain.yaml")

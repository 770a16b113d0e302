"""The network of each preset trains for a step with the settings of the preset, on a small patch."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from glioseg.data.store.cropped_cases import StoredCase
from glioseg.models.training.fit import fit
from glioseg.params import Params
from glioseg.params.presets import load_presets
from glioseg.params.sections import Network

ROOT = Path(__file__).parents[3]
PARAMETERS = {"seed": 4_653_279}
"""Numbers of parameters from other sources: for the seed, `count_params` of the 2018 project."""


@pytest.mark.parametrize("name", list(load_presets()))
def test_a_preset_builds_and_trains(name: str, toys: list[StoredCase], tmp_path: Path) -> None:
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    for section, settings in load_presets()[name].items():
        content[section] |= settings
    params = Params.model_validate(content)
    assert isinstance(params.network, Network)
    small = {"patch_shape": (32, 32, 32), "epochs": 1, "steps_per_epoch": 1, "precision": "float32"}
    fitted = fit(
        network=params.network.model_copy(update={"spacing_mm": 1}),
        train=params.train.model_copy(update=small),
        cases=toys[:2],
        validation=toys[2:3],
        state=tmp_path / "state",
        on_epoch=lambda epoch, logs: None,
    )
    assert np.isfinite(list(fitted.history[0].values())).all()
    assert list(fitted.model.output) == ["segmentation"]
    if name in PARAMETERS:
        assert fitted.model.count_params() == PARAMETERS[name]

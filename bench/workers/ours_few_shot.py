"""Worker: train glioseg on a few real cases for so many minutes, without cases that choose the weights."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from ours_build import Changes, changed
from ours_train import MARGIN, predict, timed
from serve import serve

from glioseg.data.store.cropped_cases import open_cases
from glioseg.data.store.phantom_stream import CachedSyntheticCase
from glioseg.models.inference.loading import save_model
from glioseg.models.inference.model_settings import Settings
from glioseg.models.networks.keras_file import MODEL_FILE
from glioseg.models.training.fit import FitResult
from glioseg.params import Params

PILOT_STEPS = 20
"""Steps of each of the two epochs that show the pace."""


def train(
    *,
    store: str,
    names: Sequence[str],
    changes: Changes,
    init: str | None,
    minutes: float,
    pilot_steps: int = PILOT_STEPS,
    out: str,
) -> dict[str, object]:
    """Train params.yaml, with changes, for as many steps as fit the time.

    All steps are one epoch, whose weights are kept, whatever validation says. The model gets the calibrated
    settings of the model folder `init`, whose weights it starts from; from scratch, those of a model that was
    never calibrated.
    """
    params = changed(changes)
    cases = open_cases(Path(store), names, raw=None)
    start = Path(init) / MODEL_FILE if init else None

    def run(epochs: int, steps: int) -> tuple[FitResult, list[float]]:
        planned = params.train.model_copy(update={"epochs": epochs, "steps_per_epoch": steps})
        one = params.model_copy(update={"train": planned})
        return timed(one, cases=cases, validation=[blank_case(params)], init=start)

    _, marks = run(2, pilot_steps)
    step_s = (marks[1] - marks[0]) / pilot_steps
    start_s = marks[0] - pilot_steps * step_s
    steps = max(1, int((60 * minutes * MARGIN - start_s) / step_s))
    fitted, marks = run(1, steps)
    Path(out).mkdir(parents=True, exist_ok=True)
    save_model(Path(out), [fitted.model], _settings(params, init))
    return {"seconds": marks[-1], "steps": steps}


def _settings(params: Params, init: str | None) -> Settings:
    if init is None:
        return Settings.untuned(params.network, params.train, params.crop, params.inference)
    return replace(Settings.load(Path(init)), confidence=None, confidence_unmirrored=None)


def blank_case(params: Params) -> CachedSyntheticCase:
    """A validation case that takes no time: `fit` requires one."""
    edge = 2**params.network.depth
    image, label = np.zeros((edge, edge, edge, 4), np.float16), np.zeros((edge, edge, edge), np.uint8)
    return CachedSyntheticCase("blank", params.network.spacing_mm, image, label)


if __name__ == "__main__":
    serve(train, predict)

"""Worker: train glioseg for so many minutes, and let the result segment cases."""

import math
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from ours_build import Changes, changed
from serve import serve

from glioseg.data.cohort.cases import COHORT, read_cases
from glioseg.data.store.cropped_cases import open_cases
from glioseg.evaluation.per_case import predict_cases
from glioseg.models.inference.loading import load_model, save_model
from glioseg.models.inference.model_settings import Settings
from glioseg.models.inference.predictor import Predictor
from glioseg.models.selection.calibrate import calibrate_model
from glioseg.models.selection.unseen_case import unseen_cases
from glioseg.models.training.fit import FitResult, fit
from glioseg.params import Params

MARGIN = 0.97
"""Share of the time that is planned: a training's pace is never quite what two epochs showed."""


def train(
    *, store: str, parts: dict[str, object], changes: Changes, minutes: float, out: str
) -> dict[str, object]:
    """Train params.yaml, with changes, as the train stage does, for so many epochs as fit the time.

    The learning rate's schedule needs to know its end, so that the pace of two epochs is measured
    first. Patience keeps its proportion to the epochs.
    """
    params = changed(changes)
    train_cases, validation = (open_cases(Path(store), parts[p], raw=None) for p in ("train", "validation"))
    run = partial(timed, cases=train_cases, validation=validation)
    _, marks = run(_with_epochs(params, 2))
    first_s, epoch_s = marks[0], marks[1] - marks[0]
    epochs = max(1, 1 + int((60 * minutes * MARGIN - first_s) / epoch_s))
    fitted, marks = run(_with_epochs(params, epochs))
    untuned = Settings.untuned(params.network, params.train, params.crop, params.inference)
    Path(out).mkdir(parents=True, exist_ok=True)
    settings = calibrate_model(
        unseen_cases(validation, [fitted.model]),
        untuned,
        inference=params.inference,
        training_cases=train_cases,
        calibrated_on="synthetic",
    )
    save_model(Path(out), [fitted.model], settings)
    steps = params.train.steps_per_epoch or math.ceil(len(train_cases) / params.train.batch_size)
    return {"seconds": marks[-1], "steps": steps * len(marks), "epochs": f"{len(marks)} of {epochs}"}


def predict(*, model: str, mirror: bool, cohort: str, names: list[str], out: str) -> float:
    """Segment raw cases of a cohort, averaging over mirror images or not; return the seconds."""
    Path(out).mkdir(parents=True, exist_ok=True)
    cases = read_cases(Path(cohort) / COHORT, names)
    begun = time.monotonic()
    trained = load_model(Path(model))
    predictor = Predictor(trained.models, replace(trained.settings, mirror=mirror))
    predict_cases(predictor, cases, Path(out))
    return time.monotonic() - begun


def _with_epochs(params: Params, epochs: int) -> Params:
    patience = max(1, round(params.train.patience * epochs / params.train.epochs))
    train = params.train.model_copy(update={"epochs": epochs, "patience": patience})
    return params.model_copy(update={"train": train})


def timed(params: Params, **given) -> tuple[FitResult, list[float]]:
    """Train, with cases and perhaps initial weights, and say at how many seconds each epoch ended."""
    marks, begun = [], time.monotonic()
    with TemporaryDirectory() as state:
        fitted = fit(
            network=params.network,
            train=params.train,
            state=Path(state),
            on_epoch=lambda *_: marks.append(time.monotonic() - begun),
            **given,
        )
    return fitted, marks


if __name__ == "__main__":
    serve(train, predict)

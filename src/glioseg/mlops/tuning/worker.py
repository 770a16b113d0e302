"""One worker of a study: what the stage tune and `glioseg tune-worker` have in common."""

from dataclasses import dataclass
from pathlib import Path

from mlflow import MlflowClient

from glioseg.core.files import read_json
from glioseg.data.cohort.splits import training_parts
from glioseg.data.store.cropped_store import open_cases
from glioseg.mlops.tracking.fingerprints import data_version
from glioseg.mlops.tracking.initial_weights import noted_weights
from glioseg.mlops.tracking.mlflow_runs import connect
from glioseg.mlops.tracking.storage import Lab
from glioseg.mlops.tuning import Study, search, study_name
from glioseg.mlops.tuning.mlflow_trials import study_log
from glioseg.mlops.tuning.objective import ShortTraining
from glioseg.models.networks.targets import require_outcomes
from glioseg.models.training.multi_gpu import require_devices
from glioseg.params import Params

CROPPED, RAW, SPLITS = Path("data/cropped"), Path("data/raw"), Path("data/splits.json")


@dataclass(frozen=True)
class Finished:
    """A finished study and its parent run."""

    study: Study
    client: MlflowClient
    parent_id: str


def work(params: Params) -> Finished:
    """Work on the study of these settings, of the data here and of this code until it is finished.

    Other workers, here or on machines that reach the same database, may do so at the same time.

    Raises:
        SearchError: no trial was completed within the limits.
    """
    trial = _objective(params)
    tune = params.tune.model_dump(mode="json")
    name = study_name(data_version=data_version(), space=tune["space"], fixed=trial.fixed)
    lab = Lab.here()
    client = connect(lab)
    counts = {"train": len(trial.cases), "validation": len(trial.validation)}
    with study_log(
        client, lab=lab, name=name, settings={"tune": tune}, cases=counts, describe=trial.settings
    ) as log:
        study = search(
            lab=lab,
            name=name,
            tune=params.tune,
            first=trial.default,
            objective=trial,
            observer=log,
            foresee=trial.foresee,
        )
    return Finished(study, client, log.parent_id)


def _objective(params: Params) -> ShortTraining:
    splits, raw = read_json(SPLITS), RAW if params.crop.on_the_fly else None
    train, validation = (open_cases(CROPPED, splits[part], raw=raw) for part in ("train", "validation"))
    training_parts(splits, folds=params.train.folds)  # or train would refuse them after all trials
    require_outcomes(train, params.train.outputs)
    require_devices(params.train.devices)
    return ShortTraining(params, train, validation, noted_weights(params.train.init_from))

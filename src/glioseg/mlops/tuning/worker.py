"""One worker of a study, as the stage tune and `glioseg tune-worker` run it."""

from dataclasses import dataclass
from pathlib import Path

from mlflow import MlflowClient

from glioseg.core.files import read_json
from glioseg.data.cohort.splits import training_parts
from glioseg.data.store.cropped_cases import open_cases
from glioseg.mlops.tracking.git_dvc import data_version
from glioseg.mlops.tracking.initial_weights import recorded_weights
from glioseg.mlops.tracking.mlflow_runs import connect
from glioseg.mlops.tracking.storage import ProjectStorage
from glioseg.mlops.tuning import Study, search, study_name
from glioseg.mlops.tuning.mlflow_trials import study_log
from glioseg.mlops.tuning.objective import ShortTraining
from glioseg.models.networks.outputs import require_outcomes
from glioseg.models.training.distributed import require_devices
from glioseg.params import Params

CROPPED, RAW, SPLITS = Path("data/cropped"), Path("data/raw"), Path("data/splits.json")


@dataclass(frozen=True)
class FinishedStudy:
    """A finished study and its parent run."""

    study: Study
    client: MlflowClient
    parent_id: str


def work_on_study(params: Params) -> FinishedStudy:
    """Run trials of the study for these settings, the current data and this code until it is finished.

    Other workers may do so at the same time, on all machines that reach the same database.

    Raises:
        SearchError: no trial was completed within the limits.
    """
    trial = _objective(params)
    tune = params.tune.model_dump(mode="json")
    name = study_name(data_version=data_version(), space=tune["space"], fixed=trial.fixed)
    storage = ProjectStorage.current()
    client = connect(storage)
    counts = {"train": len(trial.cases), "validation": len(trial.validation)}
    with study_log(
        client, storage=storage, name=name, settings={"tune": tune}, cases=counts, describe=trial.settings
    ) as log:
        study = search(
            storage=storage,
            name=name,
            tune=params.tune,
            default_values=trial.default_values,
            objective=trial,
            observer=log,
            estimate_measures=trial.estimate_measures,
        )
    return FinishedStudy(study, client, log.parent_id)


def _objective(params: Params) -> ShortTraining:
    splits, raw = read_json(SPLITS), RAW if params.crop.on_the_fly else None
    train, validation = (open_cases(CROPPED, splits[part], raw=raw) for part in ("train", "validation"))
    training_parts(
        splits, folds=params.train.folds, ensemble=True
    )  # the stage train would reject them after all trials
    require_outcomes(train, params.train.outputs)
    require_devices(params.train.devices)
    return ShortTraining(params, train, validation, recorded_weights(params.train.init_from))

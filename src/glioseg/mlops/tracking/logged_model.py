"""A logged model of MLflow that can predict: glioseg's code, the Keras files, and the signature."""

import warnings
from collections.abc import Mapping
from importlib.metadata import version as installed

import mlflow
from mlflow import MlflowClient
from mlflow.entities import LoggedModel, LoggedModelStatus
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema

from glioseg.core.labels import REGIONS, LabelScheme
from glioseg.core.modalities import MODALITIES
from glioseg.mlops.tracking.mlflow_runs import experiment_id, flatten, has_run, log_metrics
from glioseg.mlops.tracking.model_files import CONTENT_HASH, ModelFiles
from glioseg.models.inference.prediction import NUMERIC_COLUMNS

REQUIREMENTS = (
    "isal",
    "jaxtyping",
    "keras",
    "mlflow",
    "nibabel",
    "numpy",
    "pandas",
    "pydantic",
    "pyyaml",
    "scipy",
    "tensorflow",
)
"""Packages that a registered model imports to predict; its requirements pin the versions that made it."""


def signature() -> ModelSignature:
    """Input: up to four NIfTI files a row; output: a label map as NIfTI, numbers and the contract check.

    Any modality may be missing. `GliosegModel.predict` in serving explains the columns and params.
    """
    params = [
        ParamSpec("scheme", DataType.string, LabelScheme.BRATS2021.value),
        ParamSpec("mirror", DataType.boolean, None),
        ParamSpec("probabilities", DataType.boolean, False),
    ]
    numbers = [ColSpec(DataType.double, name, required=False) for name in NUMERIC_COLUMNS]
    probabilities = [
        ColSpec(DataType.binary, f"{name.lower()}_probability", required=False) for name in REGIONS
    ]
    words = [
        ColSpec(DataType.string, name)
        for name in ("low_confidence_reasons", "calibrated_on", "contract_check")
    ]
    return ModelSignature(
        inputs=Schema([ColSpec(DataType.binary, name, required=False) for name in MODALITIES]),
        outputs=Schema([ColSpec(DataType.binary, "segmentation"), *numbers, *words, *probabilities]),
        params=ParamSchema(params),
    )


def log_model(
    client: MlflowClient,
    model_files: ModelFiles,
    *,
    run_id: str,
    params: Mapping[str, object] | None = None,
    metrics: Mapping[str, float] | None = None,
) -> str:
    """Log a model once: a second call, after a kill, continues with the same logged model.

    Args:
        client: from `mlflow_runs.connect`.
        model_files: what it is made from.
        run_id: the run that trained it; if another database has that run, the model is not linked to it.
        params: all settings, nested as in params.yaml.
        metrics: of the model; they are logged to the run, linked to the model.

    Returns:
        Its `model_id` in MLflow.
    """
    run = run_id if has_run(client, run_id) else None
    model = _find(client, model_files, run) or client.create_logged_model(
        experiment_id(client, "train"),
        name="unet",
        source_run_id=run,
        params={key: str(value) for key, value in flatten(params or {}).items()},
        tags={CONTENT_HASH: model_files.content_hash},
        model_type="segmentation",
    )
    if model.status != LoggedModelStatus.READY:
        _write_files(model, model_files)
    if run and metrics:
        log_metrics(client, run, metrics, model_id=model.model_id)
    return str(model.model_id)


def _find(client: MlflowClient, model_files: ModelFiles, run: str | None) -> LoggedModel | None:
    """The newest logged model of this run with these files, whether the files are already written or not."""
    mine = f"tags.{CONTENT_HASH} = '{model_files.content_hash}'" + (
        f" AND source_run_id = '{run}'" if run else ""
    )
    found = client.search_logged_models([experiment_id(client, "train")], mine)
    return max(found, key=lambda model: int(model.creation_timestamp), default=None)


def _write_files(model: LoggedModel, model_files: ModelFiles) -> None:
    """Write the files of a logged model, without any pickle."""
    with warnings.catch_warnings():
        # MLflow warns without an input example. It would load each model once more to run it on the example,
        # and the contract of many projects would refuse a small one; a real one would add 19 MB to a version.
        warnings.filterwarnings("ignore", message=".*input example")
        mlflow.pyfunc.log_model(
            model_id=model.model_id,
            python_model=str(model_files.pyfunc_file),
            artifacts={path.name: str(path) for path in model_files.files},
            code_paths=[str(model_files.package)],
            pip_requirements=[f"{name}=={installed(name)}" for name in REQUIREMENTS],
            signature=signature(),
        )

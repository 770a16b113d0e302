"""A model in MLflow that a person can call: code and Keras files, with all that predicting takes."""

import warnings
from collections.abc import Mapping
from importlib.metadata import version as installed

import mlflow
from mlflow import MlflowClient
from mlflow.entities import LoggedModel, LoggedModelStatus
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema

from glioseg.core.labels import REGIONS, Scheme
from glioseg.core.modalities import MODALITIES
from glioseg.mlops.tracking.candidate import CONTENT, Source
from glioseg.mlops.tracking.mlflow_runs import experiment_id, flatten, known_run, log_metrics
from glioseg.models.inference.prediction import NUMBERS

NEEDED = (
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
"""Packages that a registered model imports to predict; it asks for the versions that made it."""


def signature() -> ModelSignature:
    """Up to four NIfTI files a row in, a label map as NIfTI, numbers and the contract's verdict out.

    Any modality may be missing. Serving's `GliosegModel.predict` says what the columns and params mean.
    """
    params = [
        ParamSpec("scheme", DataType.string, Scheme.BRATS2021.value),
        ParamSpec("mirror", DataType.boolean, None),
        ParamSpec("probabilities", DataType.boolean, False),
    ]
    numbers = [ColSpec(DataType.double, name, required=False) for name in NUMBERS]
    asked = [ColSpec(DataType.binary, f"{name.lower()}_probability", required=False) for name in REGIONS]
    words = [ColSpec(DataType.string, name) for name in ("doubt", "verdict")]
    return ModelSignature(
        inputs=Schema([ColSpec(DataType.binary, name, required=False) for name in MODALITIES]),
        outputs=Schema([ColSpec(DataType.binary, "segmentation"), *numbers, *words, *asked]),
        params=ParamSchema(params),
    )


def log_model(
    client: MlflowClient,
    source: Source,
    *,
    run_id: str,
    params: Mapping[str, object] | None = None,
    metrics: Mapping[str, float] | None = None,
) -> str:
    """Log a model once: killed before its end and called again, it goes on with the same one.

    Args:
        client: as from `tracking.connect`.
        source: what it is made from.
        run_id: the run that trained it; it may be of another database, and then there is no link.
        params: all settings, nested as in params.yaml.
        metrics: numbers that belong to it.

    Returns:
        MLflow's name of it, `model_id`.
    """
    run = run_id if known_run(client, run_id) else None
    model = _known(client, source, run) or client.create_logged_model(
        experiment_id(client, "train"),
        name="unet",
        source_run_id=run,
        params={key: str(value) for key, value in flatten(params or {}).items()},
        tags={CONTENT: source.content},
        model_type="segmentation",
    )
    if model.status != LoggedModelStatus.READY:
        _fill(model, source)
    if run and metrics:
        log_metrics(client, run, metrics, model_id=model.model_id)
    return str(model.model_id)


def _known(client: MlflowClient, source: Source, run: str | None) -> LoggedModel | None:
    """The newest logged model of this run that is, or will be, made of this source."""
    mine = f"tags.{CONTENT} = '{source.content}'" + (f" AND source_run_id = '{run}'" if run else "")
    found = client.search_logged_models([experiment_id(client, "train")], mine)
    return max(found, key=lambda model: int(model.creation_timestamp), default=None)


def _fill(model: LoggedModel, source: Source) -> None:
    """Write a logged model's files; no pickle is among them."""
    with warnings.catch_warnings():
        # MLflow asks for an example input; a real one would add 19 MB to every version.
        warnings.filterwarnings("ignore", message=".*input example")
        mlflow.pyfunc.log_model(
            model_id=model.model_id,
            python_model=str(source.entry),
            artifacts={path.name: str(path) for path in source.files},
            code_paths=[str(source.package)],
            pip_requirements=[f"{name}=={installed(name)}" for name in NEEDED],
            signature=signature(),
        )

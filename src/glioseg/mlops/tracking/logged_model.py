"""A logged model of MLflow that can predict: glioseg's code, the Keras files, and the signature."""

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import mlflow
import numpy as np
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import LoggedModel, LoggedModelStatus
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema

from glioseg.core.fingerprint import installed_package
from glioseg.core.labels import REGIONS, LabelScheme
from glioseg.core.modalities import MODALITIES
from glioseg.core.nifti import Grid, Volume, encode_volume
from glioseg.data.phantom import PLAN_SAMPLERS, render_case
from glioseg.data.phantom.grid import PhantomGrid
from glioseg.mlops.tracking.mlflow_runs import experiment_id, flatten, has_run, log_metrics
from glioseg.mlops.tracking.model_files import CONTENT_HASH, ModelFiles
from glioseg.models.inference.prediction import NUMERIC_COLUMNS

PACKAGES = (
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

EXAMPLE_LEVELS = 32
"""Grey levels of the input example: noise of 256 levels hardly shrinks when it is compressed."""


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


def pinned_requirements() -> list[str]:
    """The installed versions of `PACKAGES`, as pip reads them; TensorFlow is named as it is installed."""
    installed = [installed_package(name) or name for name in PACKAGES]
    return [f"{name}=={version(name)}" for name in installed]


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
        _write_files(client, model, model_files)
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


def input_example() -> pd.DataFrame:
    """One row: a phantom with voxels of 2 mm and few grey levels, so that it takes half a megabyte.

    A real scan would take 19 MB, and would be a patient's.
    """
    phantom = render_case(index=3, seed=0, sample_plan=PLAN_SAMPLERS["typical"], grid=PhantomGrid(2))[1]
    row = {}
    for modality, image in phantom.images.items():
        levels = np.ceil(image * (EXAMPLE_LEVELS / image.max())).astype(np.uint8)  # background stays 0
        row[modality] = encode_volume(Volume(levels, Grid(image.shape, np.diag([-2.0, -2.0, 2.0, 1.0]))))
    return pd.DataFrame([row])


def _write_files(client: MlflowClient, model: LoggedModel, model_files: ModelFiles) -> None:
    """Write the files of a logged model, without any pickle.

    `mlflow.pyfunc.log_model` would load each model once more and run it on the example.
    """
    with TemporaryDirectory() as folder:
        mlflow.pyfunc.save_model(
            files := f"{folder}/model",
            mlflow_model=Model(
                artifact_path=model.artifact_location, model_uuid=model.model_id, model_id=model.model_id
            ),
            python_model=str(model_files.pyfunc_file),
            artifacts={path.name: str(path) for path in model_files.files},
            code_paths=[str(model_files.package)],
            pip_requirements=pinned_requirements(),
            signature=signature(),
            input_example=input_example(),
        )
        for weights in Path(files, "code").rglob("*.keras"):  # of built-in models
            weights.unlink()
        client.log_model_artifacts(model.model_id, files)
    client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)

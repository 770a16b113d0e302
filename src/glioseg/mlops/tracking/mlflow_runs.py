"""MLflow: the connection to the project's database, and the logging that all kinds of runs share."""

import logging
import math
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from types import MappingProxyType

import mlflow
from mlflow import MlflowClient
from mlflow.entities import (
    Dataset,
    DatasetInput,
    InputTag,
    LifecycleStage,
    LoggedModelInput,
    Metric,
    Param,
)
from mlflow.exceptions import MlflowException
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT
from sqlalchemy.exc import DBAPIError

from glioseg.core.environment import drop_foreign_variables
from glioseg.core.errors import GliosegError
from glioseg.mlops.tracking.git_dvc import CROPPED, data_version
from glioseg.mlops.tracking.mlflow_locations import require_not_moved, require_same_location
from glioseg.mlops.tracking.run_tags import cohort_name, run_tags
from glioseg.mlops.tracking.storage import DATABASE_URL, ProjectStorage, download_folder

EXPERIMENTS = ("tune", "train", "evaluate")
"""One experiment per purpose, so that runs in one experiment can be compared."""

PARENT_TAG = "mlflow.parentRunId"
TEST_DATA = "test_data"
"""Tag of an evaluation with the hash of the files of its test cases."""
SOURCE = "source"
"""Tag of a version and of its evaluation: the package that the model comes from, if no run trained it."""

MAX_PARAMS_PER_BATCH = 100  # MLflow accepts no more


class SchemaError(GliosegError):
    """A database that MLflow cannot read: another version of MLflow created it, or it is damaged."""


def connect(storage: ProjectStorage) -> MlflowClient:
    """Open the project's MLflow database in this process; create it and its experiments if it is new.

    Processes that create the database at the same time would crash, so one creates it and the others wait.

    Raises:
        MovedError: the storage was moved or copied, and its database still names the old folder; or the
            database has its files in another place than `storage`.
        SchemaError: another version of MLflow created the database, or it is no database of MLflow.
    """
    drop_foreign_variables()
    require_not_moved(storage)
    storage.prepare()
    storage.hold_shared_lock()
    for verbose in ("mlflow.store.db.utils", "mlflow.system_metrics.system_metrics_monitor"):
        logging.getLogger(verbose).setLevel(logging.WARNING)
    mlflow.set_tracking_uri(storage.tracking_uri)
    mlflow.set_registry_uri(storage.tracking_uri)
    with storage.locked("mlflow.db") if storage.is_writable else nullcontext():
        try:
            client = MlflowClient(storage.tracking_uri, storage.tracking_uri)
            for name in EXPERIMENTS:
                _open_experiment(client, storage, name)
        except MlflowException as error:
            why = error.message.partition(". ")[0]
            raise SchemaError(f"MLflow's database: {why}; see “Upgrade” in docs/deploy.md") from None
        except DBAPIError as error:
            why = " ".join(str(error.orig).split())
            raise SchemaError(f"{storage.database or DATABASE_URL}: not MLflow's database: {why}") from None
    return client


def _open_experiment(client: MlflowClient, storage: ProjectStorage, name: str) -> None:
    found = client.get_experiment_by_name(name)
    if found:
        require_same_location(storage, name, found.artifact_location)
        experiment_id(client, name)  # restores it
    else:
        kind = {"mlflow.experimentKind": "custom_model_development"}  # MLflow's page then opens on the runs
        client.create_experiment(name, storage.artifacts_uri(name), tags=kind)


def experiment_id(client: MlflowClient, name: str) -> str:
    """The ID of one of `EXPERIMENTS`; one that was deleted on MLflow's page is restored with its runs."""
    found = client.get_experiment_by_name(name)
    if found.lifecycle_stage == LifecycleStage.DELETED:
        with suppress(MlflowException):  # raised where the project may only be read
            client.restore_experiment(found.experiment_id)
            print(f"MLflow: experiment {name} was deleted; it is restored with its runs", file=sys.stderr)
    return str(found.experiment_id)


def flatten(tree: Mapping[str, object], separator: str = ".") -> dict[str, object]:
    """A nested mapping as one level, with joined keys.

    >>> flatten({"network": {"depth": 5}, "seed": 1})
    {'network.depth': 5, 'seed': 1}
    """
    flat: dict[str, object] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= {f"{key}{separator}{inner}": leaf for inner, leaf in flatten(value, separator).items()}
        else:
            flat[key] = value
    return flat


def log_params(client: MlflowClient, run_id: str, params: Mapping[str, object]) -> None:
    """Log nested settings under joined names."""
    rows = [Param(key, str(value)) for key, value in flatten(params).items()]
    for start in range(0, len(rows), MAX_PARAMS_PER_BATCH):
        client.log_batch(run_id, params=rows[start : start + MAX_PARAMS_PER_BATCH])


def log_metrics(
    client: MlflowClient,
    run_id: str,
    metrics: Mapping[str, float],
    *,
    step: int = 0,
    model_id: str | None = None,
    dataset: Dataset | None = None,
) -> None:
    """Log numbers in one request, to a run and, if `model_id` is given, to that model.

    Args:
        client: from `connect`.
        run_id: the run.
        metrics: numbers by name.
        step: the point on the curve.
        model_id: the logged model that has these numbers.
        dataset: on which the numbers were computed, from `log_dataset`.
    """
    now = mlflow.utils.time.get_current_time_millis()
    linked: dict[str, str] = {"model_id": model_id, "run_id": run_id} if model_id else {}
    if dataset:
        linked |= {"dataset_name": dataset.name, "dataset_digest": dataset.digest}
    rows = [Metric(key, float(value), now, step, **linked) for key, value in metrics.items()]
    try:
        client.log_batch(run_id, metrics=rows)
    except MlflowException:
        if not has_run(client, run_id):  # restores a run that was deleted while it is running
            raise
        client.log_batch(run_id, metrics=rows)


def log_dataset(client: MlflowClient, run_id: str, *, cases: Mapping[str, int]) -> Dataset:
    """Record the cohort as a run's input, under its name; its digest is DVC's hash.

    The numbers of cases are a tag of the run, since MLflow stores one dataset per digest, with the
    description from the first run that logged it.

    Args:
        client: from `connect`.
        run_id: the run that reads the cohort.
        cases: the number of cases for each use, e.g. {"train": 40}; MLflow calls the use the context.
    """
    dataset = Dataset(cohort_name(), data_version()[:36], source_type="dvc", source=f'"{CROPPED}"')
    context = InputTag(MLFLOW_DATASET_CONTEXT, ", ".join(cases))
    client.log_inputs(run_id, [DatasetInput(dataset, [context])])
    client.set_tag(run_id, "cases", ", ".join(f"{count} {use}" for use, count in cases.items()))
    return dataset


def log_system_metrics(run_id: str) -> SystemMetricsMonitor:
    """Log the load of this machine's processors and memory to a run, until `finish` of the result is called.

    MLflow does so by itself only for runs that `mlflow.start_run` opens.
    """
    monitor = SystemMetricsMonitor(run_id)
    monitor.start()
    return monitor


def has_logged_model(client: MlflowClient, model_id: str | None) -> bool:
    """Whether the database has this logged model; files that DVC restored may come from another database."""
    try:
        return bool(model_id and client.get_logged_model(model_id))
    except MlflowException:
        return False


def has_run(client: MlflowClient, run_id: str | None) -> bool:
    """Whether the database has this run, which is to be logged to; a deleted one is restored.

    Runs that are still needed may have been deleted on MLflow's page; MLflow logs to no deleted run.
    """
    try:
        stage = client.get_run(run_id).info.lifecycle_stage if run_id else None
    except MlflowException:
        return False
    if stage == LifecycleStage.DELETED:
        client.restore_run(run_id)
        print(f"MLflow: run {run_id} was deleted; it is restored", file=sys.stderr)
    return stage is not None


def download(address: str) -> Path:
    """The local path of files of a registered model.

    Args:
        address: `models:/NAME/3` or `models:/NAME@ALIAS`, with or without a path in the model's files.

    Raises:
        MlflowException, OSError: the registry has no such model, or its files cannot be read.
    """
    try:
        return Path(mlflow.artifacts.download_artifacts(address, dst_path=download_folder()))
    except PermissionError:  # MLflow writes a file into the folder of a model, which this user may only read
        return Path(mlflow.artifacts.download_artifacts(address, dst_path=download_folder(copy=True)))


def log_evaluation(
    *,
    run: Mapping[str, str],
    params: Mapping[str, object],
    cases: int,
    test_data: str,
    metrics: Mapping[str, object],
    files: Sequence[Path],
    name: str = "",
    tags: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Log an evaluation to MLflow: a run of its own, with numbers linked to the model and to the cohort.

    If the training is not in this database (DVC restored its outs from another machine), the evaluation is
    logged without the link.

    Args:
        run: content of reports/calibrate/model.json: `run_id` and `model_id` of the training.
        params: all settings, nested as in params.yaml.
        cases: the number of test cases.
        test_data: the hash of the test cases' files; models with equal hashes can be compared.
        metrics: nested numbers; names are joined by `/`, by which MLflow groups its charts.
        files: pictures, tables and pages, with their folders.
        name: of the run; by default, the name of the training.
        tags: additional tags, which replace those of the same names.

    Returns:
        The `run_id` of the evaluation.
    """
    client = connect(ProjectStorage.current())
    trained = run.get("run_id") if has_run(client, run.get("run_id")) else None
    model_id = run.get("model_id") if has_logged_model(client, run.get("model_id")) else None
    name = name or (client.get_run(trained).info.run_name if trained else "a model trained elsewhere")
    own = {"trained_run": run.get("run_id", ""), "model_id": run.get("model_id", ""), TEST_DATA: test_data}
    with mlflow.start_run(
        experiment_id=experiment_id(client, "evaluate"),
        run_name=name,
        tags=run_tags("evaluate") | own | dict(tags),
    ) as active:
        run_id = str(active.info.run_id)
        log_params(client, run_id, params)
        dataset = log_dataset(client, run_id, cases={"test": cases})
        if model_id:
            client.log_inputs(run_id, models=[LoggedModelInput(model_id)])
        log_metrics(client, run_id, dict(_numbers(metrics)), model_id=model_id, dataset=dataset)
        _log_files(client, run_id, files)
    return run_id


def _log_files(client: MlflowClient, run_id: str, files: Sequence[Path]) -> None:
    """Log files to a run, in their folders relative to the folder that they share."""
    top = os.path.commonpath([path.resolve().parent for path in files]) if files else ""
    for path in files:
        inside = path.resolve().parent.relative_to(top).as_posix()
        client.log_artifact(run_id, str(path), None if inside == "." else inside)


def _numbers(metrics: Mapping[str, object]) -> Iterator[tuple[str, float]]:
    for key, value in flatten(metrics, "/").items():
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            yield key, float(value)

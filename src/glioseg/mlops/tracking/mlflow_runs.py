"""MLflow: connecting to the lab's database, and what every kind of run has in common."""

import logging
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, LoggedModelInput, Metric, Param
from mlflow.exceptions import MlflowException
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT
from sqlalchemy.exc import DBAPIError

from glioseg.core.errors import GliosegError
from glioseg.mlops.tracking.fingerprints import CROPPED, data_version, tags
from glioseg.mlops.tracking.mlflow_locations import require_here, require_place
from glioseg.mlops.tracking.process_locks import enter
from glioseg.mlops.tracking.storage import DATABASE_URL, Lab

EXPERIMENTS = ("tune", "train", "evaluate")
"""One experiment a purpose: runs in one are worth comparing."""

PARENT_TAG = "mlflow.parentRunId"
TEST_DATA = "test_data"
"""The tag of an evaluation that says which files it was made on."""

PARAMS_AT_ONCE = 100  # MLflow refuses more


class SchemaError(GliosegError):
    """A database that MLflow cannot read: another version of it made it, or it is damaged."""


def connect(lab: Lab) -> MlflowClient:
    """Open the lab's MLflow database for this process; create it and its experiments where new.

    Processes that create the database at the same time would crash, so one does and others wait.

    Raises:
        MovedError: the lab was moved or copied, and its database still names the old folder; or it keeps
            its files in another place than `lab` says.
        SchemaError: another MLflow made the database, or it is none.
    """
    require_here(lab)
    lab.prepare()
    enter(lab)
    for chatter in ("mlflow.store.db.utils", "mlflow.system_metrics.system_metrics_monitor"):
        logging.getLogger(chatter).setLevel(logging.WARNING)
    mlflow.set_tracking_uri(lab.tracking_uri)
    mlflow.set_registry_uri(lab.tracking_uri)
    with lab.alone("mlflow.db"):
        try:
            client = MlflowClient(lab.tracking_uri, lab.tracking_uri)
            for name in EXPERIMENTS:
                _open_experiment(client, lab, name)
        except MlflowException as error:
            why = error.message.partition(". ")[0]
            raise SchemaError(f"MLflow's database: {why}; see “Upgrade” in docs/deploy.md") from None
        except DBAPIError as error:
            why = " ".join(str(error.orig).split())
            raise SchemaError(f"{lab.database or DATABASE_URL}: not MLflow's database: {why}") from None
    return client


def _open_experiment(client: MlflowClient, lab: Lab, name: str) -> None:
    found = client.get_experiment_by_name(name)
    if found:
        require_place(lab, name, found.artifact_location)
    else:
        kind = {"mlflow.experimentKind": "custom_model_development"}  # MLflow's page opens on the runs
        client.create_experiment(name, lab.artifacts_uri(name), tags=kind)


def experiment_id(client: MlflowClient, name: str) -> str:
    """The identity of one of `EXPERIMENTS`."""
    found: str = client.get_experiment_by_name(name).experiment_id
    return found


def flatten(tree: Mapping[str, object], separator: str = ".") -> dict[str, object]:
    """Bring a tree to one level, its keys joined.

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
    """Log settings, however deep they are nested, under joined names."""
    rows = [Param(key, str(value)) for key, value in flatten(params).items()]
    for start in range(0, len(rows), PARAMS_AT_ONCE):
        client.log_batch(run_id, params=rows[start : start + PARAMS_AT_ONCE])


def log_metrics(
    client: MlflowClient,
    run_id: str,
    metrics: Mapping[str, float],
    *,
    step: int = 0,
    model_id: str | None = None,
    dataset: Dataset | None = None,
) -> None:
    """Log numbers at once, to a run and, where it is named, to the model that they belong to.

    Args:
        client: as from `connect`.
        run_id: the run.
        metrics: a number to each name.
        step: the point of the curve.
        model_id: the logged model that has these numbers.
        dataset: what it was measured on, as from `log_dataset`.
    """
    now = mlflow.utils.time.get_current_time_millis()
    linked: dict[str, str] = {"model_id": model_id, "run_id": run_id} if model_id else {}
    if dataset:
        linked |= {"dataset_name": dataset.name, "dataset_digest": dataset.digest}
    rows = [Metric(key, float(value), now, step, **linked) for key, value in metrics.items()]
    client.log_batch(run_id, metrics=rows)


def log_dataset(client: MlflowClient, run_id: str, *, cases: Mapping[str, int]) -> Dataset:
    """Record the cohort as a run's input; its digest is DVC's hash.

    How many cases are used for what is a tag of the run: MLflow keeps one dataset for a digest, with
    what the first run said of it.

    Args:
        client: as from `connect`.
        run_id: the run that reads the cohort.
        cases: how many cases it uses for what, e.g. {"train": 40}; MLflow calls these uses the context.
    """
    dataset = Dataset("cohort", data_version()[:36], source_type="dvc", source=f'"{CROPPED}"')
    context = InputTag(MLFLOW_DATASET_CONTEXT, ", ".join(cases))
    client.log_inputs(run_id, [DatasetInput(dataset, [context])])
    client.set_tag(run_id, "cases", ", ".join(f"{count} {use}" for use, count in cases.items()))
    return dataset


def system_metrics(run_id: str) -> SystemMetricsMonitor:
    """Log what this machine's processors and memory do to a run, until `finish` of the result is called.

    MLflow itself does so only for runs that `mlflow.start_run` opens.
    """
    monitor = SystemMetricsMonitor(run_id)
    monitor.start()
    return monitor


def known_model(client: MlflowClient, model_id: str | None) -> bool:
    """Whether the database has this logged model: files that DVC restored may come from another."""
    try:
        return bool(model_id and client.get_logged_model(model_id))
    except MlflowException:
        return False


def known_run(client: MlflowClient, run_id: str | None) -> bool:
    """Whether the database has this run."""
    try:
        return bool(run_id and client.get_run(run_id))
    except MlflowException:
        return False


def log_evaluation(
    *,
    run: Mapping[str, str],
    params: Mapping[str, object],
    cases: int,
    test_data: str,
    metrics: Mapping[str, object],
    files: Sequence[Path],
) -> None:
    """Log an evaluation to MLflow: a run of its own, its numbers linked to the model and to the cohort.

    Where the training is not in this database (DVC restored its outs from another machine), the
    evaluation is logged without the link.

    Args:
        run: content of reports/calibrate/model.json: `run_id` and `model_id` of the training.
        params: all settings, nested as in params.yaml.
        cases: how many test cases there are.
        test_data: a hash of the test cases' files; models with the same one can be compared.
        metrics: numbers, however deep they are nested; names are joined by `/`, which groups MLflow's charts.
        files: pictures, tables and pages; those in a folder of their own keep it.
    """
    client = connect(Lab.here())
    trained = run.get("run_id") if known_run(client, run.get("run_id")) else None
    model_id = run.get("model_id") if known_model(client, run.get("model_id")) else None
    name = client.get_run(trained).info.run_name if trained else "a model trained elsewhere"
    marks = tags("evaluate") | {"trained_run": run.get("run_id", ""), "model_id": run.get("model_id", "")}
    marks[TEST_DATA] = test_data
    with mlflow.start_run(experiment_id=experiment_id(client, "evaluate"), run_name=name, tags=marks) as now:
        run_id = now.info.run_id
        log_params(client, run_id, params)
        dataset = log_dataset(client, run_id, cases={"test": cases})
        if model_id:
            client.log_inputs(run_id, models=[LoggedModelInput(model_id)])
        log_metrics(client, run_id, dict(_numbers(metrics)), model_id=model_id, dataset=dataset)
        _log_files(client, run_id, files)


def _log_files(client: MlflowClient, run_id: str, files: Sequence[Path]) -> None:
    """Keep files with a run, in the folders that they have below the one that they share."""
    top = os.path.commonpath([path.resolve().parent for path in files]) if files else ""
    for path in files:
        inside = path.resolve().parent.relative_to(top).as_posix()
        client.log_artifact(run_id, str(path), None if inside == "." else inside)


def _numbers(metrics: Mapping[str, object]) -> Iterator[tuple[str, float]]:
    for key, value in flatten(metrics, "/").items():
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            yield key, float(value)

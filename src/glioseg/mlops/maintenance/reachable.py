"""The runs, models and studies that registered versions reference, directly or indirectly."""

import fnmatch
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from mlflow import MlflowClient
from mlflow.entities import LoggedModel, Run, ViewType
from mlflow.entities.model_registry import ModelVersion

from glioseg.mlops.tracking.artifact_store import ArtifactStore
from glioseg.mlops.tracking.mlflow_runs import PARENT_TAG

LINEAGE = "lineage/*/lineage.json"
"""The lineage records among a model's files; a model that is registered under two names has two."""

OWN_SETTINGS = {"train.epochs", "train.steps_per_epoch"}
"""Settings that differ between trials and training: the training does not take them from the best trial."""

References = Mapping[str, set[str]]
"""The names that each run, model or study references; names of another database match nothing."""


@dataclass(frozen=True)
class MlflowContents:
    """The content of MLflow's database, including runs and models that were deleted on MLflow's page.

    `runs`, `models` and the names of `experiments` are keyed by identifier; `stores` holds the files of each
    version by `name/version`.
    """

    versions: Sequence[ModelVersion]
    runs: Mapping[str, Run]
    models: Mapping[str, LoggedModel]
    experiments: Mapping[str, str]
    stores: Mapping[str, ArtifactStore]


def read_mlflow(client: MlflowClient) -> MlflowContents:
    """Read registered versions, runs, logged models and the names of experiments."""
    store = client._tracking_client.store  # only the store lists deleted models
    experiments = {e.experiment_id: e.name for e in client.search_experiments(view_type=ViewType.ALL)}
    ids = list(experiments)
    deleted = [
        store.get_logged_model(name, allow_deleted=True) for name in store._get_deleted_logged_models()
    ]
    models = [*_all_pages(client.search_logged_models, ids), *deleted]
    runs = _all_pages(client.search_runs, ids, run_view_type=ViewType.ALL)
    versions = list(_all_pages(client.search_model_versions))
    return MlflowContents(
        versions=versions,
        runs={run.info.run_id: run for run in runs},
        models={model.model_id: model for model in models},
        experiments=experiments,
        stores=dict(_stores(client, versions)),
    )


def _stores(client: MlflowClient, versions: Iterable[ModelVersion]) -> Iterator[tuple[str, ArtifactStore]]:
    for version in versions:
        address = client.get_model_version_download_uri(version.name, version.version)
        parts = urlsplit(address)
        if parts.scheme in ("", "file", "s3"):
            path = address if parts.scheme == "s3" else unquote(parts.path)
            yield f"{version.name}/{version.version}", ArtifactStore(path)


def _all_pages(search: Callable[..., Any], *args: object, **kwargs: object) -> Iterator[Any]:
    """All results of an MLflow search, which returns them page by page."""
    page = search(*args, **kwargs)
    yield from page
    while page.token:
        page = search(*args, page_token=page.token, **kwargs)
        yield from page


def find_reachable(contents: MlflowContents, others: Iterable[str] = ()) -> set[str]:
    """The names that registered versions and `others` reference, directly or through other names.

    A version references its logged model, its training and the names in its lineage. A model references its
    evaluations, a training its folds and the study that chose its settings, and a study its trials. Each of
    them also references the names in its tags.

    Args:
        contents: from `read_mlflow`.
        others: runs and models to keep for another reason.

    Returns:
        Identifiers of runs and models, and names of studies.
    """
    references, found = _references(contents), set[str]()
    todo = {*others}.union(*map(_named_by, contents.versions), *map(_named_in, contents.stores.values()))
    while todo:
        found |= todo
        todo = {other for name in todo for other in references.get(name, ())} - found
    return found


def _named_by(version: ModelVersion) -> Iterator[str]:
    yield str(version.run_id)
    yield str(version.source).removeprefix("models:/")
    yield from version.tags.values()


def _named_in(store: ArtifactStore) -> Iterator[str]:
    """All strings in a version's lineage records, among them the names of its runs and its study."""
    for name in fnmatch.filter(store.files(), LINEAGE):
        with suppress(OSError, ValueError):
            yield from strings_in(json.loads(store.read(name)))


def strings_in(tree: object) -> Iterator[str]:
    """All strings among the values of parsed JSON.

    >>> list(strings_in({"a": ["b", {"c": "d"}], "e": 1}))
    ['b', 'd']
    """
    if isinstance(tree, str):
        yield tree
    elif isinstance(tree, dict | list):
        for branch in tree.values() if isinstance(tree, dict) else tree:
            yield from strings_in(branch)


def _references(contents: MlflowContents) -> References:
    references: dict[str, set[str]] = defaultdict(set)
    for name, model in contents.models.items():
        references[name] |= {str(model.source_run_id), *(metric.run_id for metric in model.metrics or ())}
    for name, run in contents.runs.items():
        references[name] |= set(run.data.tags.values())
        for owner in filter(None, _owners(contents, run)):
            references[owner].add(name)
    for training, study in _studies_of_trainings(contents):
        references[training].add(study)
    return references


def _owners(contents: MlflowContents, run: Run) -> Iterator[str | None]:
    """The names that reference a run: the parent of a fold or trial, the model of an evaluation."""
    tags = run.data.tags
    yield tags.get(PARENT_TAG)
    yield tags.get("study")
    yield tags.get("model_id") if tags.get("model_id") in contents.models else tags.get("trained_run")


def _studies_of_trainings(contents: MlflowContents) -> Iterator[tuple[str, str]]:
    """Each training with each study whose best trial has the training's settings, on the same data."""
    runs = contents.runs.values()
    trials = {(run.data.tags.get(PARENT_TAG), run.data.tags.get("trial")): run for run in runs}
    for study in (run for run in runs if "study" in run.data.tags):
        best = trials.get((study.info.run_id, study.data.tags.get("best_trial")))
        for training in (run for run in runs if run.data.tags.get("stage") == "train"):
            if best is not None and _same_settings(best, training):
                yield training.info.run_id, study.info.run_id


def _same_settings(trial: Run, training: Run) -> bool:
    ours, theirs = trial.data.params, training.data.params
    shared = (ours.keys() & theirs.keys()) - OWN_SETTINGS
    same_data = trial.data.tags.get("data_version") == training.data.tags.get("data_version")
    return same_data and bool(shared) and all(ours[key] == theirs[key] for key in shared)

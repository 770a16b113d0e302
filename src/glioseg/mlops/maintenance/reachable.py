"""What registered versions need of all that MLflow keeps: a graph of who names whom, walked from them."""

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

from glioseg.mlops.maintenance.artifact_store import Shelf
from glioseg.mlops.tracking.mlflow_runs import PARENT_TAG

LINEAGE = "lineage/*/lineage.json"
"""Where versions keep how they came to be; two names of one model have one each."""

OWN_SETTINGS = {"train.epochs", "train.steps_per_epoch"}
"""A study has these of its own: its best trial does not give them to the training."""

Links = Mapping[str, set[str]]
"""What each run, model or study needs, all by name; names of another database lead nowhere."""


@dataclass(frozen=True)
class Book:
    """All that MLflow's database holds, also what was deleted in its page.

    `runs`, `models` and names of `experiments` are by identity; `stored` is where each version's files are,
    by `name/version`.
    """

    versions: Sequence[ModelVersion]
    runs: Mapping[str, Run]
    models: Mapping[str, LoggedModel]
    experiments: Mapping[str, str]
    stored: Mapping[str, Shelf]


def read_book(client: MlflowClient) -> Book:
    """Read registered versions, runs, logged models, and the names of experiments."""
    store = client._tracking_client.store  # only the store tells of deleted models
    experiments = {e.experiment_id: e.name for e in client.search_experiments(view_type=ViewType.ALL)}
    every = list(experiments)
    gone = [store.get_logged_model(name, allow_deleted=True) for name in store._get_deleted_logged_models()]
    models = [*_pages(client.search_logged_models, every), *gone]
    runs = _pages(client.search_runs, every, run_view_type=ViewType.ALL)
    versions = list(_pages(client.search_model_versions))
    return Book(
        versions=versions,
        runs={run.info.run_id: run for run in runs},
        models={model.model_id: model for model in models},
        experiments=experiments,
        stored=dict(_stored(client, versions)),
    )


def _stored(client: MlflowClient, versions: Iterable[ModelVersion]) -> Iterator[tuple[str, Shelf]]:
    for version in versions:
        address = client.get_model_version_download_uri(version.name, version.version)
        parts = urlsplit(address)
        if parts.scheme in ("", "file", "s3"):
            place = address if parts.scheme == "s3" else unquote(parts.path)
            yield f"{version.name}/{version.version}", Shelf(place)


def _pages(search: Callable[..., Any], *given: object, **named: object) -> Iterator[Any]:
    """Everything that a search of MLflow's finds: it answers page by page."""
    page = search(*given, **named)
    yield from page
    while page.token:
        page = search(*given, page_token=page.token, **named)
        yield from page


def needed(book: Book, others: Iterable[str] = ()) -> set[str]:
    """The names of what registered versions need, and of some others with what those need.

    A version needs its logged model, its training and what its lineage names; a model its evaluations; a
    training its folds, and the study that gave its parameters; a study its trials. Whatever one of them
    names in a tag it needs too.

    Args:
        book: as from `read_book`.
        others: runs and models that are kept for another reason.

    Returns:
        Identities of runs and models, and names of studies.
    """
    links, found = _links(book), set[str]()
    todo = {*others}.union(*map(_named_by, book.versions), *map(_named_in, book.stored.values()))
    while todo:
        found |= todo
        todo = {other for name in todo for other in links.get(name, ())} - found
    return found


def _named_by(version: ModelVersion) -> Iterator[str]:
    yield str(version.run_id)
    yield str(version.source).removeprefix("models:/")
    yield from version.tags.values()


def _named_in(stored: Shelf) -> Iterator[str]:
    """What the record of how a version came to be names: its study, among others."""
    for name in fnmatch.filter(stored.files(), LINEAGE):
        with suppress(OSError, ValueError):
            yield from texts(json.loads(stored.read(name)))


def texts(tree: object) -> Iterator[str]:
    """All texts in content of a JSON file.

    >>> list(texts({"a": ["b", {"c": "d"}], "e": 1}))
    ['b', 'd']
    """
    if isinstance(tree, str):
        yield tree
    elif isinstance(tree, dict | list):
        for branch in tree.values() if isinstance(tree, dict) else tree:
            yield from texts(branch)


def _links(book: Book) -> Links:
    links: dict[str, set[str]] = defaultdict(set)
    for name, model in book.models.items():
        links[name] |= {str(model.source_run_id), *(metric.run_id for metric in model.metrics or ())}
    for name, run in book.runs.items():
        links[name] |= set(run.data.tags.values())
        for owner in filter(None, _owners(book, run)):
            links[owner].add(name)
    for training, study in _studies_of_trainings(book):
        links[training].add(study)
    return links


def _owners(book: Book, run: Run) -> Iterator[str | None]:
    """Who needs a run that names it: a parent its folds or trials, a model its evaluations."""
    tags = run.data.tags
    yield tags.get(PARENT_TAG)
    yield tags.get("study")
    yield tags.get("model_id") if tags.get("model_id") in book.models else tags.get("trained_run")


def _studies_of_trainings(book: Book) -> Iterator[tuple[str, str]]:
    """Each training with each study whose best trial has the training's settings, on the same data."""
    runs = book.runs.values()
    trials = {(run.data.tags.get(PARENT_TAG), run.data.tags.get("trial")): run for run in runs}
    for study in (run for run in runs if "study" in run.data.tags):
        best = trials.get((study.info.run_id, study.data.tags.get("best_trial")))
        for training in (run for run in runs if run.data.tags.get("stage") == "train"):
            if best is not None and _gave(best, training):
                yield training.info.run_id, study.info.run_id


def _gave(trial: Run, training: Run) -> bool:
    ours, theirs = trial.data.params, training.data.params
    shared = (ours.keys() & theirs.keys()) - OWN_SETTINGS
    same_data = trial.data.tags.get("data_version") == training.data.tags.get("data_version")
    return same_data and bool(shared) and all(ours[key] == theirs[key] for key in shared)

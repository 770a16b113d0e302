"""Finds and removes what no registered version references: database rows, and folders of `mlruns`.

`mlflow gc` is not suitable: if its arguments name runs but no model, it also removes every model that is
marked as deleted, even a registered one. This module calls the functions that `gc` uses, for one run or model
at a time.
"""

import re
import sqlite3
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from mlflow import MlflowClient

from glioseg.core.errors import GliosegError
from glioseg.core.files import FileError, read_json
from glioseg.core.old_names import PATHS, old_name
from glioseg.core.progress import track
from glioseg.mlops.maintenance.reachable import MlflowContents, find_reachable, read_mlflow, strings_in
from glioseg.mlops.tracking.artifact_store import ArtifactStore
from glioseg.mlops.tracking.mlflow_runs import EXPERIMENTS
from glioseg.mlops.tracking.storage import ProjectStorage
from glioseg.mlops.tuning import delete_study, study_names

REPORTS = (
    "reports/tune/study.json",
    "reports/train/run.json",
    "reports/calibrate/model.json",
    old_name("reports/calibrate/model.json", PATHS),
)
"""Reports that name a study, a run and a model which the next `dvc repro` may register."""

FOLDERS = ("artifacts/*/*", "artifacts/*/models/*", "[0-9]*/*", "[0-9]*/models/*")
"""Patterns of MLflow's folders for runs and logged models, in glioseg's experiments and in others."""

KINDS = ("run", "model", "study", "files")
"""The order of removal. Evaluations are removed before their models: an evaluation without its model would
count as referenced by the training run."""

IDENTIFIER = re.compile(r"(m-)?[0-9a-f]{32}")
PATH_START = re.compile(rf"(models/)?(?P<identifier>{IDENTIFIER.pattern})(?=/)")
"""The start of a file's path within the artifact location of an experiment."""


class PruneError(GliosegError):
    """A registered version whose files changed; the message names them."""


@dataclass(frozen=True)
class Unreferenced:
    """An item that can be removed: `category` is its row in a table, `files` are its files, if any."""

    kind: Literal["run", "model", "study", "files"]
    category: str
    name: str
    files: ArtifactStore | None = field(default=None, compare=False)
    size_bytes: int = field(default=0, compare=False)


def find_unreferenced(
    storage: ProjectStorage, client: MlflowClient, *, exclusive: bool
) -> list[Unreferenced]:
    """Find what neither a registered version nor the present work of the project references.

    Args:
        storage: the project's storage.
        client: from `mlflow_runs.connect`.
        exclusive: whether no other process uses the storage. If False, the result excludes runs with the
            status RUNNING, everything that they reference, and the saved state of interrupted trainings.
    """
    contents = read_mlflow(client)
    kept = find_reachable(contents, [*_present_work(storage), *_running(contents, exclusive=exclusive)])
    stores, experiments = _stores(storage, contents), _experiments(storage, contents)
    found = [
        *(
            _row("run", f"runs of {experiments[run.info.experiment_id]}", name, stores)
            for name, run in contents.runs.items()
            if run.info.experiment_id in experiments
        ),
        *(
            _row("model", "logged models", name, stores)
            for name, model in contents.models.items()
            if model.experiment_id in experiments
        ),
        *(Unreferenced("study", "Optuna studies", name) for name in study_names(storage)),
    ]
    if not (storage.shared or storage.artifacts_url):  # otherwise they may belong to another database
        unknown = stores.keys() - contents.runs.keys() - contents.models.keys()
        found += [_files("files of no run", *stores[name]) for name in unknown]
    if exclusive:
        for category, place in (("interrupted trainings", "state/*"), ("TensorBoard logs", "tensorboard/*")):
            found += [_files(category, *_with_size(folder)) for folder in storage.folder.glob(place)]
    unreferenced = [each for each in found if each.name not in kept]
    return sorted(unreferenced, key=lambda each: (KINDS.index(each.kind), each.category, each.name))


def _experiments(storage: ProjectStorage, contents: MlflowContents) -> dict[str, str]:
    """The experiments to search; a shared database may contain experiments of other people."""
    return {
        identifier: name
        for identifier, name in contents.experiments.items()
        if name in EXPERIMENTS or not storage.shared
    }


def _present_work(storage: ProjectStorage) -> Iterator[str]:
    """The names in the reports of the project, and of the copies in which DVC runs experiments."""
    for root in (storage.root, *storage.root.glob(".dvc/tmp/exps/*")):
        for report in REPORTS:
            with suppress(OSError, FileError):
                yield from strings_in(read_json(root / report))


def _running(contents: MlflowContents, *, exclusive: bool) -> Iterator[str]:
    """Runs that a process may still write to; a killed run of glioseg stays RUNNING permanently."""
    for name, run in contents.runs.items():
        if run.info.status == "RUNNING" and not (exclusive and "stage" in run.data.tags):
            yield name


StoreAndSize = tuple[ArtifactStore, int]
"""An artifact store and its size in bytes."""


def _stores(storage: ProjectStorage, contents: MlflowContents) -> dict[str, StoreAndSize]:
    """The artifact stores of runs and logged models by identifier, without those that contain a version."""
    found = _stores_in_bucket(storage) if storage.artifacts_url else _stores_in_folder(storage)
    registered = contents.stores.values()
    return {
        identifier: (store, size)
        for identifier, (store, size) in found.items()
        if not any(store.contains(version) for version in registered)
    }


def _stores_in_folder(storage: ProjectStorage) -> dict[str, StoreAndSize]:
    paths = (
        path
        for pattern in FOLDERS
        for path in storage.folder.glob(pattern)
        if IDENTIFIER.fullmatch(path.name)
    )
    return {path.name: _with_size(path) for path in paths}


def _stores_in_bucket(storage: ProjectStorage) -> dict[str, StoreAndSize]:
    """List each experiment once: one request per run would take minutes."""
    sizes: dict[str, tuple[str, int]] = {}
    for experiment in EXPERIMENTS:
        location = storage.artifacts_uri(experiment)
        for name, details in ArtifactStore(location).files().items():
            if match := PATH_START.match(name):
                _, size = sizes.get(match["identifier"], ("", 0))
                sizes[match["identifier"]] = f"{location}/{match[0]}", size + details["size"]
    return {identifier: (ArtifactStore(address), size) for identifier, (address, size) in sizes.items()}


def _with_size(folder: Path) -> StoreAndSize:
    store = ArtifactStore(str(folder))
    return store, store.size_bytes()


def _row(
    kind: Literal["run", "model"], category: str, name: str, stores: Mapping[str, StoreAndSize]
) -> Unreferenced:
    return Unreferenced(kind, category, name, *stores.get(name, (None, 0)))


def _files(category: str, files: ArtifactStore, size_bytes: int) -> Unreferenced:
    return Unreferenced("files", category, files.address, files, size_bytes)


def prune(
    storage: ProjectStorage, client: MlflowClient, agreed: Collection[Unreferenced]
) -> list[Unreferenced]:
    """Remove the confirmed items that are still unreferenced; an interrupted call can be repeated.

    Files are removed before database rows. After a kill in between, the next call removes the row.

    Args:
        storage: the project's storage.
        client: from `mlflow_runs.connect`.
        agreed: the items that the user confirmed, from `find_unreferenced`.

    Returns:
        The removed items.

    Raises:
        PruneError: the files of a registered version changed during the call.
    """
    with storage.exclusive() as exclusive:
        before = version_fingerprints(client)
        found = find_unreferenced(storage, client, exclusive=exclusive)
        todo = [each for each in found if each in agreed]
        for each in track(todo, title="prune", total=len(todo)):
            _remove(storage, client, each)
        _require_unchanged(before, version_fingerprints(client))
        for database in storage.database_files:
            _vacuum(database)
    return todo


def _remove(storage: ProjectStorage, client: MlflowClient, unreferenced: Unreferenced) -> None:
    if unreferenced.files:
        unreferenced.files.remove()
    store = client._tracking_client.store  # the client can only mark items as deleted
    match unreferenced.kind:
        case "run":
            client.delete_run(unreferenced.name)
            store._hard_delete_run(unreferenced.name)
        case "model":
            store._hard_delete_logged_model(unreferenced.name)
        case "study":
            delete_study(storage, unreferenced.name)


def version_fingerprints(client: MlflowClient) -> dict[str, str]:
    """A hash of each file of each registered version; the keys are `name/version: file`."""
    return {
        f"{version}: {name}": content_hash
        for version, store in read_mlflow(client).stores.items()
        for name, content_hash in sorted(store.content_hashes().items())
    }


def _require_unchanged(before: Mapping[str, str], after: Mapping[str, str]) -> None:
    changed = [file for file, content_hash in before.items() if after.get(file) != content_hash]
    if changed:
        raise PruneError(f"{', '.join(changed)}: expected the content from before, got another")


def _vacuum(database: Path) -> None:
    """Free the space of deleted rows, unless another process has locked the database."""
    if database.exists():
        with suppress(sqlite3.OperationalError), closing(sqlite3.connect(database)) as connection:
            connection.execute("VACUUM")

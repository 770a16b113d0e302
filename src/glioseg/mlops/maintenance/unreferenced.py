"""What in `mlruns` no registered version needs: rows of databases, and folders."""

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from mlflow import MlflowClient

from glioseg.core.files import FileError, read_json
from glioseg.mlops.maintenance.artifact_store import Shelf
from glioseg.mlops.maintenance.reachable import Book, needed, read_book, texts
from glioseg.mlops.tracking.mlflow_runs import EXPERIMENTS
from glioseg.mlops.tracking.storage import Lab
from glioseg.mlops.tuning import kept_studies

RECORDS = ("reports/tune/study.json", "reports/train/run.json", "reports/calibrate/model.json")
"""They name a study, a run and a model of which the next `dvc repro` may register a version."""

PLACES = ("artifacts/*/*", "artifacts/*/models/*", "[0-9]*/*", "[0-9]*/models/*")
"""Where MLflow makes a folder for each run and each logged model: of glioseg's experiments, and of others."""

KINDS = ("run", "model", "study", "files")
"""In the order in which they go: an evaluation before its model, by which it is known as nobody's."""

IDENTITY = re.compile(r"(m-)?[0-9a-f]{32}")
INSIDE = re.compile(rf"(models/)?(?P<identity>{IDENTITY.pattern})(?=/)")
"""How a file's path in an experiment's place begins."""


@dataclass(frozen=True)
class Waste:
    """One thing that can go: `what` is its line in a table; `files` is where its files are, `size` theirs."""

    kind: Literal["run", "model", "study", "files"]
    what: str
    name: str
    files: Shelf | None = field(default=None, compare=False)
    size: int = field(default=0, compare=False)


def find_waste(lab: Lab, client: MlflowClient, *, quiet: bool) -> list[Waste]:
    """Find what neither a registered version needs nor the work at hand.

    Args:
        lab: to look into.
        client: as from `tracking.connect`.
        quiet: whether no other process is at work in the lab. If one is, what says RUNNING is kept with
            all that it needs, and so is what a training can go on from.
    """
    book = read_book(client)
    kept = needed(book, [*_at_hand(lab), *_running(book, quiet=quiet)])
    shelves, experiments = _shelves(lab, book), _experiments(lab, book)
    found = [
        *(
            _row("run", f"runs of {experiments[run.info.experiment_id]}", name, shelves)
            for name, run in book.runs.items()
            if run.info.experiment_id in experiments
        ),
        *(
            _row("model", "logged models", name, shelves)
            for name, model in book.models.items()
            if model.experiment_id in experiments
        ),
        *(Waste("study", "Optuna studies", name) for name in kept_studies(lab)),
    ]
    if not (lab.shared or lab.artifacts_url):  # elsewhere they may belong to another database
        strangers = shelves.keys() - book.runs.keys() - book.models.keys()
        found += [_files("files of no run", *shelves[name]) for name in strangers]
    if quiet:
        for what, place in (("interrupted trainings", "state/*"), ("TensorBoard logs", "tensorboard/*")):
            found += [_files(what, *_measured(folder)) for folder in lab.folder.glob(place)]
    waste = [one for one in found if one.name not in kept]
    return sorted(waste, key=lambda one: (KINDS.index(one.kind), one.what, one.name))


def _experiments(lab: Lab, book: Book) -> dict[str, str]:
    """The experiments to look into: people may keep others in a database that they share."""
    return {
        identity: name for identity, name in book.experiments.items() if name in EXPERIMENTS or not lab.shared
    }


def _at_hand(lab: Lab) -> Iterator[str]:
    """What the reports of the project name, and those of the copies that DVC runs experiments in."""
    for root in (lab.root, *lab.root.glob(".dvc/tmp/exps/*")):
        for record in RECORDS:
            with suppress(OSError, FileError):
                yield from texts(read_json(root / record))


def _running(book: Book, *, quiet: bool) -> Iterator[str]:
    """Runs that may be written to now: one of glioseg's own that was killed says RUNNING for ever."""
    for name, run in book.runs.items():
        if run.info.status == "RUNNING" and not (quiet and "stage" in run.data.tags):
            yield name


Sized = tuple[Shelf, int]
"""Where files are, and how many bytes."""


def _shelves(lab: Lab, book: Book) -> dict[str, Sized]:
    """The files of runs and logged models by identity; never any that holds a registered version."""
    found = _in_bucket(lab) if lab.artifacts_url else _in_folder(lab)
    registered = book.stored.values()
    return {
        identity: (shelf, size)
        for identity, (shelf, size) in found.items()
        if not any(shelf.holds(stored) for stored in registered)
    }


def _in_folder(lab: Lab) -> dict[str, Sized]:
    found = (path for place in PLACES for path in lab.folder.glob(place) if IDENTITY.fullmatch(path.name))
    return {path.name: _measured(path) for path in found}


def _in_bucket(lab: Lab) -> dict[str, Sized]:
    """One listing for each experiment: asked for every run, a bucket would take minutes."""
    sizes: dict[str, tuple[str, int]] = {}
    for experiment in EXPERIMENTS:
        place = lab.artifacts_uri(experiment)
        for name, facts in Shelf(place).files().items():
            if match := INSIDE.match(name):
                _, size = sizes.get(match["identity"], ("", 0))
                sizes[match["identity"]] = f"{place}/{match[0]}", size + facts["size"]
    return {identity: (Shelf(address), size) for identity, (address, size) in sizes.items()}


def _measured(folder: Path) -> Sized:
    shelf = Shelf(str(folder))
    return shelf, shelf.size()


def _row(kind: Literal["run", "model"], what: str, name: str, shelves: Mapping[str, Sized]) -> Waste:
    return Waste(kind, what, name, *shelves.get(name, (None, 0)))


def _files(what: str, files: Shelf, size: int) -> Waste:
    return Waste("files", what, files.address, files, size)

"""What in `mlruns` no registered version needs: rows of databases, and folders."""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from mlflow import MlflowClient

from glioseg.lab.addresses import Lab
from glioseg.lab.search import kept_studies
from glioseg.lab.upkeep.needed import Book, needed, read_book, texts

RECORDS = ("reports/tune/study.json", "reports/train/run.json", "reports/settle/model.json")
"""They name a study, a run and a model of which the next `dvc repro` may register a version."""

PLACES = ("artifacts/*/*", "artifacts/*/models/*", "[0-9]*/*", "[0-9]*/models/*")
"""Where MLflow makes a folder for each run and each logged model: of glioseg's experiments, and of others."""

KINDS = ("run", "model", "study", "files")
"""In the order in which they go: an evaluation before its model, by which it is known as nobody's."""

IDENTITY = re.compile(r"(m-)?[0-9a-f]{32}")


@dataclass(frozen=True)
class Waste:
    """One thing that can go: `what` is its line in a table; `folder` and `size` are of its files."""

    kind: Literal["run", "model", "study", "files"]
    what: str
    name: str
    folder: Path | None = field(default=None, compare=False)
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
    folders = _folders(lab, book)
    found = [
        *(_row("run", f"runs of {_experiment(book, name)}", name, folders) for name in book.runs),
        *(_row("model", "logged models", name, folders) for name in book.models),
        *(Waste("study", "Optuna studies", name) for name in kept_studies(lab)),
        *(
            _files("files of no run", folders[name])
            for name in folders.keys() - book.runs.keys() - book.models.keys()
        ),
    ]
    if quiet:
        found += [_files("interrupted trainings", folder) for folder in lab.folder.glob("state/*")]
        found += [_files("TensorBoard logs", folder) for folder in lab.folder.glob("tensorboard/*")]
    waste = [one for one in found if one.name not in kept]
    return sorted(waste, key=lambda one: (KINDS.index(one.kind), one.what, one.name))


def _experiment(book: Book, run: str) -> str:
    return book.experiments[book.runs[run].info.experiment_id]


def _at_hand(lab: Lab) -> Iterator[str]:
    """What the reports of the project name, and those of the copies that DVC runs experiments in."""
    for root in (lab.root, *lab.root.glob(".dvc/tmp/exps/*")):
        for record in RECORDS:
            with suppress(OSError, ValueError):
                yield from texts(json.loads((root / record).read_text()))


def _running(book: Book, *, quiet: bool) -> Iterator[str]:
    """Runs that may be written to now: one of glioseg's own that was killed says RUNNING for ever."""
    for name, run in book.runs.items():
        if run.info.status == "RUNNING" and not (quiet and "stage" in run.data.tags):
            yield name


def _folders(lab: Lab, book: Book) -> dict[str, Path]:
    """The folders of runs and of logged models by identity; never one that holds a registered version."""
    found = (path for place in PLACES for path in lab.folder.glob(place) if IDENTITY.fullmatch(path.name))
    registered = book.stored.values()
    return {
        path.name: path for path in found if not any(path in (files, *files.parents) for files in registered)
    }


def _row(kind: Literal["run", "model"], what: str, name: str, folders: Mapping[str, Path]) -> Waste:
    folder = folders.get(name)
    return Waste(kind, what, name, folder, _size(folder) if folder else 0)


def _files(what: str, folder: Path) -> Waste:
    return Waste("files", what, str(folder), folder, _size(folder))


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())

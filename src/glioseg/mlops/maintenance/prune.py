"""Freeing `mlruns` of what no registered version needs.

MLflow's own `mlflow gc` cannot do it: asked for some runs and for no model, it takes every model that is
marked deleted, be it registered or not. So this calls what `gc` itself calls, for one thing at a time.
"""

import sqlite3
from collections.abc import Collection, Mapping
from contextlib import closing, suppress
from pathlib import Path

from mlflow import MlflowClient

from glioseg.core.errors import GliosegError
from glioseg.core.progress import track
from glioseg.mlops.maintenance.reachable import read_book
from glioseg.mlops.maintenance.unreferenced import Waste, find_waste
from glioseg.mlops.tracking.process_locks import undisturbed
from glioseg.mlops.tracking.storage import Lab
from glioseg.mlops.tuning import forget_study


class PruneError(GliosegError):
    """A registered version that is not as it was; the message names it."""


def prune(lab: Lab, client: MlflowClient, agreed: Collection[Waste]) -> list[Waste]:
    """Remove what was agreed upon, as far as it is still waste; interrupted, it can be called again.

    Files go before rows: what a kill in between leaves is a row of nothing, which goes the next time.

    Args:
        lab: to free.
        client: as from `tracking.connect`.
        agreed: what the user saw, as from `find_waste`.

    Returns:
        What was removed.

    Raises:
        PruneError: the files of a registered version changed meanwhile.
    """
    with undisturbed(lab) as quiet:
        before = fingerprints(client)
        todo = [waste for waste in find_waste(lab, client, quiet=quiet) if waste in agreed]
        for waste in track(todo, title="prune", total=len(todo)):
            _remove(lab, client, waste)
        _require_same(before, fingerprints(client))
        for database in lab.database_files:
            _shrink(database)
    return todo


def _remove(lab: Lab, client: MlflowClient, waste: Waste) -> None:
    if waste.files:
        waste.files.remove()
    store = client._tracking_client.store  # the client can only mark as deleted
    match waste.kind:
        case "run":
            client.delete_run(waste.name)
            store._hard_delete_run(waste.name)
        case "model":
            store._hard_delete_logged_model(waste.name)
        case "study":
            forget_study(lab, waste.name)


def fingerprints(client: MlflowClient) -> dict[str, str]:
    """A mark of the content of each file of each registered version, by `name/version: file`."""
    return {
        f"{version}: {name}": mark
        for version, stored in read_book(client).stored.items()
        for name, mark in sorted(stored.marks().items())
    }


def _require_same(before: Mapping[str, str], after: Mapping[str, str]) -> None:
    changed = [file for file, digest in before.items() if after.get(file) != digest]
    if changed:
        raise PruneError(f"{', '.join(changed)}: expected the content from before, got another")


def _shrink(database: Path) -> None:
    """Give the room of deleted rows back; another time where another process holds the database."""
    if database.exists():
        with suppress(sqlite3.OperationalError), closing(sqlite3.connect(database)) as connection:
            connection.execute("VACUUM")

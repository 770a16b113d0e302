"""Keeps with a registered version all that tells how it came to be, and its model card."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from glioseg.mlops.provenance.collectors import (
    KEPT,
    READERS,
    RECORD,
    MissingFactError,
    Record,
    gather,
    training,
)
from glioseg.mlops.provenance.git_worktree import PATCH, source_patch
from glioseg.mlops.provenance.model_card import model_card
from glioseg.mlops.tracking.fingerprints import sha256
from glioseg.mlops.tracking.mlflow_runs import experiment_id
from glioseg.mlops.tracking.storage import download_folder

SEAL = "lineage_sha256"
"""The version's tag that holds the hash of lineage.json, which holds those of the other files."""


def folder_of(name: str, version: str) -> str:
    """Where a version's lineage lies among its files: one model may be registered under two names.

    >>> folder_of("glioseg", "3")
    'lineage/glioseg-3'
    """
    return f"lineage/{name}-{version}"


def keep_lineage(client: MlflowClient, name: str, version: str, *, root: Path = Path()) -> None:
    """Keep with a version what is known of how it came to be; doing it again replaces it.

    Args:
        client: as from `tracking.connect`.
        name: of the registered model.
        version: its number.
        root: of the project, in the state that made the model.
    """
    model_id = client.get_model_version(name, version).source.removeprefix("models:/")
    facts, missing = gather(root, READERS | {"evaluation": lambda here: _evaluation(client, here)})
    with TemporaryDirectory() as aside:
        folder = Path(aside)
        files = _copy(root, folder, changed="code" in facts and bool(facts["code"]["changed"]))
        record = Record(facts, missing, files)
        record.save(folder)
        card = model_card(name, version, record, folder)
        card.write(folder)
        client.log_model_artifacts(model_id, aside, folder_of(name, version))
        seal = sha256((folder / RECORD).read_bytes())
    client.set_model_version_tag(name, version, SEAL, seal)
    more = f"More in `{folder_of(name, version)}/model_card.html` among the model's files."
    client.update_model_version(name, version, description=f"{card.summary}\n\n{more}")


def _copy(root: Path, folder: Path, *, changed: bool) -> dict[str, str]:
    """Copy what is kept; the hash of each file."""
    for kept, path in KEPT.items():
        if (root / path).is_file():
            shutil.copyfile(root / path, folder / kept)
    if changed:
        (folder / PATCH).write_bytes(source_patch(root))
    return {file.name: sha256(file.read_bytes()) for file in sorted(folder.iterdir())}


def _evaluation(client: MlflowClient, root: Path) -> dict[str, Any]:
    """The run whose table of cases is the one that lies here, and the machine that made it."""
    table, trained = (root / KEPT["per_case.csv"]).read_bytes(), training(root)["run_id"]
    runs: Sequence[Run] = client.search_runs(
        [experiment_id(client, "evaluate")], f"tags.trained_run = '{trained}'"
    )
    for run in runs:
        if _table(client, run.info.run_id) == table:
            tags = run.data.tags
            return {"run_id": run.info.run_id} | {k: tags.get(k) for k in ("machine", "environment")}
    raise MissingFactError("no evaluation in this database has this table of cases: it was made elsewhere")


def _table(client: MlflowClient, run_id: str) -> bytes | None:
    try:
        return Path(client.download_artifacts(run_id, "per_case.csv", download_folder())).read_bytes()
    except (MlflowException, OSError):
        return None

"""Records the lineage of a registered version: lineage.json, the files that it needs, and the model card."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from glioseg.core.fingerprint import sha256_bytes
from glioseg.mlops.provenance.collectors import (
    COLLECTORS,
    RECORDED_FILES,
    MissingFactError,
    collect,
    training,
)
from glioseg.mlops.provenance.model_card import model_card
from glioseg.mlops.provenance.record import RECORD, RECORD_HASH, Record, lineage_folder
from glioseg.mlops.provenance.work_tree import PATCH, source_patch
from glioseg.mlops.tracking.mlflow_runs import experiment_id
from glioseg.mlops.tracking.storage import download_folder


def record_lineage(client: MlflowClient, name: str, version: str, *, root: Path = Path()) -> None:
    """Record the lineage of a version; a repeated call replaces the record.

    Args:
        client: from `mlflow_runs.connect`.
        name: the registered model.
        version: its number.
        root: the project, in the state that made the model.
    """
    facts, missing = collect(root, COLLECTORS | {"evaluation": lambda project: _evaluation(client, project)})
    with TemporaryDirectory() as aside:
        folder = Path(aside)
        files = _copy(root, folder, changed="code" in facts and bool(facts["code"]["changed"]))
        record = Record(facts, missing, files)
        record.save(folder)
        card = model_card(name, version, record, folder)
        card.write(folder)
        log_record(client, name, version, folder)
    details = f"More in `{lineage_folder(name, version)}/model_card.html` among the model's files."
    client.update_model_version(name, version, description=f"{card.summary}\n\n{details}")


def log_record(client: MlflowClient, name: str, version: str, folder: Path) -> None:
    """Log the folder with the version's model, then tag the version with the hash of lineage.json."""
    model_id = client.get_model_version(name, version).source.removeprefix("models:/")
    client.log_model_artifacts(model_id, str(folder), lineage_folder(name, version))
    client.set_model_version_tag(name, version, RECORD_HASH, sha256_bytes((folder / RECORD).read_bytes()))


def _copy(root: Path, folder: Path, *, changed: bool) -> dict[str, str]:
    """Copy the recorded files, write a patch if files differ from the commit, and return all hashes."""
    for name, path in RECORDED_FILES.items():
        if (root / path).is_file():
            shutil.copyfile(root / path, folder / name)
    if changed:
        (folder / PATCH).write_bytes(source_patch(root))
    return {file.name: sha256_bytes(file.read_bytes()) for file in sorted(folder.iterdir())}


def _evaluation(client: MlflowClient, root: Path) -> dict[str, Any]:
    """The evaluation run whose table of cases equals the project's, with its machine and environment."""
    table, trained = (root / RECORDED_FILES["per_case.csv"]).read_bytes(), training(root)["run_id"]
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

"""Evaluation runs from MLflow: metrics, the table of test cases, pictures, and the registered versions."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import mlflow
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Run, ViewType
from mlflow.exceptions import MlflowException

from glioseg.core.fingerprint import sha256_bytes
from glioseg.core.labels import REGIONS
from glioseg.evaluation.columns import column
from glioseg.mlops.registry.versions import CHAMPION
from glioseg.mlops.tracking.git_dvc import UNKNOWN
from glioseg.mlops.tracking.mlflow_runs import SOURCE, TEST_DATA, experiment_id
from glioseg.mlops.tracking.storage import download_folder

TABLE, PICTURES = "per_case.csv", "pictures"
MISSING = (MlflowException, OSError)
"""Errors of reading a run or a file that no longer exists."""


@dataclass(frozen=True)
class Version:
    """A version of a registered model.

    `model_id` is its logged model in MLflow, `per_case` the SHA-256 of the table of test cases that the gate
    compared.
    """

    name: str
    number: int
    aliases: Sequence[str]
    model_id: str
    per_case: str | None

    def __str__(self) -> str:
        """The name, number and aliases.

        >>> str(Version("glioseg", 3, ["champion"], "m-1", None))
        'glioseg 3 @champion'
        """
        return " ".join([self.name, str(self.number), *(f"@{alias}" for alias in self.aliases)])


@dataclass(frozen=True)
class EvaluatedModel:
    """A model with the results of one evaluation run, of which files may have been deleted.

    `table` is empty if its file was deleted; `pictures` (the three planes of each case) contains the pictures
    that still exist; `training` is "" if the training run exists or no run trained the model, and otherwise
    the reason why it is missing.
    """

    run_id: str
    name: str
    when: datetime
    tags: Mapping[str, str]
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    table: pd.DataFrame
    pictures: Mapping[str, Path]
    training: str
    versions: Sequence[Version]

    @property
    def model(self) -> str:
        """The `model_id` of the logged model; if it is unknown, the evaluation's `run_id`."""
        return self.tags.get("model_id") or self.run_id

    @property
    def data(self) -> str:
        """DVC's hash of the cohort."""
        return self.tags.get("data_version", UNKNOWN)

    @property
    def test_set(self) -> str:
        """An identifier of the test cases; evaluations with the same one can be compared."""
        if known := self.tags.get(TEST_DATA):
            return known
        if self.table.empty or self.data == UNKNOWN:
            return self.run_id
        return sha256_bytes(repr([self.data, *sorted(self.table["case"])]).encode())

    @property
    def missing(self) -> list[str]:
        """The files of this evaluation that no longer exist."""
        present = {TABLE: not self.table.empty, PICTURES: bool(self.pictures)}
        return [name for name, exists in present.items() if not exists]


@dataclass(frozen=True)
class Evaluations:
    """The newest evaluation of each model on each test set, newest first, and counts of all others.

    `champions` lists the versions with alias `champion` of which no evaluation is shown.
    """

    shown: Sequence[EvaluatedModel]
    others: Mapping[str, int]
    champions: Sequence[Version] = ()

    @property
    def test_sets(self) -> list[list[EvaluatedModel]]:
        """The shown evaluations grouped by test cases, newest first."""
        sets: dict[str, list[EvaluatedModel]] = {}
        for evaluated in self.shown:
            sets.setdefault(evaluated.test_set, []).append(evaluated)
        return list(sets.values())


def find_evaluations(client: MlflowClient) -> Evaluations:
    """Read all evaluations of a project.

    Args:
        client: from `tracking.connect`.
    """
    runs, versions = _runs(client, ViewType.ACTIVE_ONLY), registered_versions(client)
    finished = [run for run in runs if run.info.status == "FINISHED"]
    newest: dict[tuple[str, str], EvaluatedModel] = {}
    for run in finished:
        evaluated = _read(client, run, versions)
        newest.setdefault((evaluated.model, evaluated.test_set), evaluated)
    others = {
        "older of the same models": len(finished) - len(newest),
        "unfinished": len(runs) - len(finished),
        "deleted": len(_runs(client, ViewType.DELETED_ONLY)),
    }
    shown = list(newest.values())
    listed = [version for evaluated in shown for version in evaluated.versions]
    champions = [each for each in versions if CHAMPION in each.aliases and each not in listed]
    return Evaluations(shown, {what: count for what, count in others.items() if count}, champions)


def registered_versions(client: MlflowClient) -> list[Version]:
    """All versions of all registered models, the newest first."""
    aliases = defaultdict(list)
    for model in client.search_registered_models():
        for alias, number in sorted(model.aliases.items()):
            aliases[model.name, int(number)].append(alias)
    versions = [
        Version(
            found.name,
            int(found.version),
            aliases[found.name, int(found.version)],
            found.source.removeprefix("models:/"),
            found.tags.get("per_case_sha256"),
        )
        for found in client.search_model_versions()
    ]
    return sorted(versions, key=lambda version: (version.name, -version.number))


def _runs(client: MlflowClient, view: str) -> list[Run]:
    found: list[Run] = mlflow.search_runs(
        [experiment_id(client, "evaluate")],
        run_view_type=view,
        order_by=["attributes.start_time DESC"],
        output_format="list",
    )
    return found


def _read(client: MlflowClient, run: Run, versions: Sequence[Version]) -> EvaluatedModel:
    tags, content = run.data.tags, _content(client, run.info.run_id)
    identifiers = {tags.get("model_id"), sha256_bytes(content)} - {None}
    return EvaluatedModel(
        run_id=run.info.run_id,
        name=run.info.run_name,
        when=datetime.fromtimestamp(run.info.start_time / 1000, UTC),
        tags=tags,
        params=run.data.params,
        metrics=run.data.metrics,
        table=_table(content),
        pictures=_Pictures(client, run.info.run_id),
        training="" if SOURCE in tags else _training(client, tags.get("trained_run")),
        versions=[v for v in versions if identifiers & {v.model_id, v.per_case}],
    )


def _content(client: MlflowClient, run_id: str) -> bytes:
    try:
        return Path(client.download_artifacts(run_id, TABLE, download_folder())).read_bytes()
    except MISSING:
        return b""


def _table(content: bytes) -> pd.DataFrame:
    """The table of test cases; empty if the file is not such a table."""
    try:
        table = pd.read_csv(BytesIO(content), dtype={"case": str})
    except ValueError:
        return pd.DataFrame()
    required = {"case", *(column("dice", region) for region in REGIONS)}
    return table if required <= set(table) else pd.DataFrame()


class _Pictures(Mapping[str, Path]):
    """The pictures of a run by case; a picture in a bucket is downloaded on access."""

    def __init__(self, client: MlflowClient, run_id: str) -> None:
        try:
            found = client.list_artifacts(run_id, PICTURES)
        except MISSING:
            found = []
        self._client, self._run_id = client, run_id
        self._paths = {Path(file.path).stem: file.path for file in found if file.path.endswith(".png")}

    def __getitem__(self, case: str) -> Path:
        return Path(self._client.download_artifacts(self._run_id, self._paths[case], download_folder()))

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)


def _training(client: MlflowClient, run_id: str | None) -> str:
    if not run_id:
        return "not recorded"
    try:
        stage = client.get_run(run_id).info.lifecycle_stage
    except MlflowException:
        return "not in this database"
    return "deleted" if stage == "deleted" else ""

"""Evaluations as MLflow keeps them: numbers, the table of test cases, pictures, and their model's fate."""

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

from glioseg.core.labels import REGIONS
from glioseg.evaluation.columns import column
from glioseg.mlops.leaderboard.versions import Version, registered_versions
from glioseg.mlops.tracking.fingerprints import UNKNOWN, sha256
from glioseg.mlops.tracking.mlflow_runs import TEST_DATA, experiment_id
from glioseg.mlops.tracking.storage import download_folder

TABLE, PICTURES = "per_case.csv", "pictures"
GONE = (MlflowException, OSError)
"""What reading a run or a file raises where it is no longer there."""


@dataclass(frozen=True)
class Evaluated:
    """A model on some test cases, as an evaluate run has it; what is no longer there is told, not filled in.

    `table` has no rows where the run's file is gone, and `pictures` (the three planes of each case) lacks
    what is gone. `training` says what became of the run that trained the model: "" where it is there.
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
        """The model: MLflow's name of it, or where that is not known, this evaluation's own."""
        return self.tags.get("model_id") or self.run_id

    @property
    def data(self) -> str:
        """DVC's hash of the cohort."""
        return self.tags.get("data_version", UNKNOWN)

    @property
    def test_set(self) -> str:
        """The same only for evaluations of the same test cases, which can be compared."""
        if known := self.tags.get(TEST_DATA):
            return known
        if self.table.empty or self.data == UNKNOWN:
            return self.run_id
        return sha256(repr([self.data, *sorted(self.table["case"])]).encode())

    @property
    def missing(self) -> list[str]:
        """What this evaluation should have, and has no longer."""
        there = {TABLE: not self.table.empty, PICTURES: bool(self.pictures)}
        return [name for name, is_there in there.items() if not is_there]


@dataclass(frozen=True)
class Evaluations:
    """The newest evaluation of each model on each test set, newest first; and how many others there are."""

    shown: Sequence[Evaluated]
    others: Mapping[str, int]

    @property
    def test_sets(self) -> list[list[Evaluated]]:
        """Those of the same test cases together, newest first."""
        sets: dict[str, list[Evaluated]] = {}
        for one in self.shown:
            sets.setdefault(one.test_set, []).append(one)
        return list(sets.values())


def find_evaluations(client: MlflowClient) -> Evaluations:
    """Read all evaluations of a project.

    Args:
        client: as from `tracking.connect`.
    """
    runs, versions = _runs(client, ViewType.ACTIVE_ONLY), registered_versions(client)
    finished = [run for run in runs if run.info.status == "FINISHED"]
    newest: dict[tuple[str, str], Evaluated] = {}
    for run in finished:
        one = _read(client, run, versions)
        newest.setdefault((one.model, one.test_set), one)
    others = {
        "older ones of the same models": len(finished) - len(newest),
        "unfinished ones": len(runs) - len(finished),
        "deleted ones": len(_runs(client, ViewType.DELETED_ONLY)),
    }
    return Evaluations(list(newest.values()), {what: count for what, count in others.items() if count})


def _runs(client: MlflowClient, view: str) -> list[Run]:
    found: list[Run] = mlflow.search_runs(
        [experiment_id(client, "evaluate")],
        run_view_type=view,
        order_by=["attributes.start_time DESC"],
        output_format="list",
    )
    return found


def _read(client: MlflowClient, run: Run, versions: Sequence[Version]) -> Evaluated:
    tags, content = run.data.tags, _content(client, run.info.run_id)
    mine = {tags.get("model_id"), sha256(content)} - {None}
    return Evaluated(
        run_id=run.info.run_id,
        name=run.info.run_name,
        when=datetime.fromtimestamp(run.info.start_time / 1000, UTC),
        tags=tags,
        params=run.data.params,
        metrics=run.data.metrics,
        table=_table(content),
        pictures=_Pictures(client, run.info.run_id),
        training=_training(client, tags.get("trained_run")),
        versions=[one for one in versions if mine & {one.model_id, one.per_case}],
    )


def _content(client: MlflowClient, run_id: str) -> bytes:
    try:
        return Path(client.download_artifacts(run_id, TABLE, download_folder())).read_bytes()
    except GONE:
        return b""


def _table(content: bytes) -> pd.DataFrame:
    """The table of test cases; without rows where the file is not one."""
    try:
        table = pd.read_csv(BytesIO(content), dtype={"case": str})
    except ValueError:
        return pd.DataFrame()
    needed = {"case", *(column("dice", region) for region in REGIONS)}
    return table if needed <= set(table) else pd.DataFrame()


class _Pictures(Mapping[str, Path]):
    """The pictures of a run by case; one that lies in a bucket is fetched when it is looked at."""

    def __init__(self, client: MlflowClient, run_id: str) -> None:
        try:
            found = client.list_artifacts(run_id, PICTURES)
        except GONE:
            found = []
        self._client, self._run_id = client, run_id
        self._inside = {Path(file.path).stem: file.path for file in found if file.path.endswith(".png")}

    def __getitem__(self, case: str) -> Path:
        return Path(self._client.download_artifacts(self._run_id, self._inside[case], download_folder()))

    def __iter__(self) -> Iterator[str]:
        return iter(self._inside)

    def __len__(self) -> int:
        return len(self._inside)


def _training(client: MlflowClient, run_id: str | None) -> str:
    if not run_id:
        return "not recorded"
    try:
        stage = client.get_run(run_id).info.lifecycle_stage
    except MlflowException:
        return "not in this database"
    return "deleted" if stage == "deleted" else ""

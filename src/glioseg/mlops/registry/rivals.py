"""The versions that a candidate is compared with: the champion, and the best champion that there has been.

What a champion may lose against the last one adds up over a chain of them: compared with the best one too, a
chain as a whole loses no more than the margin.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import mlflow
import pandas as pd
from mlflow.exceptions import MlflowException

from glioseg.core.labels import REGIONS
from glioseg.evaluation.columns import column
from glioseg.mlops.registry.gate import BEST, CHAMPION, Rival
from glioseg.mlops.registry.versions import Versions
from glioseg.mlops.tracking.candidate import METRIC_CODE, TEST_SET
from glioseg.models.networks.keras_file import ModelError

PER_CASE = "per_case.csv"
MEASURED = "measured"
"""The folder, among a model's artifacts, of the tables that were measured for a comparison."""
BEST_SO_FAR = "best_champion"
"""The tag that names the best champion, once the version that bears it was judged: perhaps that one."""
GONE = (MlflowException, OSError, ModelError)
"""What is raised where a version's files are no longer there, or no model of today's glioseg."""
SHORT = 16
"""Digits of a hash in a file's name."""

Score = Callable[[Path], pd.DataFrame]
"""Evaluates a model folder on the present test cases: a table as `gate.judge` takes it."""


@dataclass(frozen=True)
class Tables:
    """Dice by case of registered versions on the present test cases.

    `test_set`: hash of these cases; `code`: of the metric code as it is now; `score`: measures a version that
    has no table of both.
    """

    versions: Versions
    test_set: str
    code: str
    score: Score

    def now(self, version: str) -> pd.DataFrame:
        """A version's table as today's code measures it; what has to be measured is kept with the version.

        Raises:
            MlflowException, OSError, ModelError: the version cannot be loaded.
        """
        table = self._current(version)
        return table if table is not None else self._measure(version)

    def known(self, version: str) -> pd.DataFrame | None:
        """A version's table of these cases: by today's code, or else by earlier code; None without either."""
        for table in (self._current(version), self._own(version), self._kept(version, by_this_code=False)):
            if table is not None:
                return table
        return None

    def _current(self, version: str) -> pd.DataFrame | None:
        """The version's table of these cases by today's code, if it has one."""
        by_this_code = self.versions.tags(version).get(METRIC_CODE) == self.code
        own = self._own(version) if by_this_code else None
        return own if own is not None else self._kept(version, by_this_code=True)

    def _own(self, version: str) -> pd.DataFrame | None:
        """The table of the version's own evaluation, if it was of these cases."""
        same = self.versions.tags(version).get(TEST_SET) == self.test_set
        return self._read(version, PER_CASE) if same and PER_CASE in self._files(version) else None

    def _kept(self, version: str, *, by_this_code: bool) -> pd.DataFrame | None:
        start = f"{MEASURED}/{self.test_set[:SHORT]}-{self.code[:SHORT] if by_this_code else ''}"
        found = sorted(file for file in self._files(version, MEASURED) if file.startswith(start))
        return self._read(version, found[-1]) if found else None

    def _files(self, version: str, folder: str | None = None) -> set[str]:
        model_id = self.versions.model_id(version)
        return {file.path for file in self.versions.client.list_logged_model_artifacts(model_id, folder)}

    def _read(self, version: str, path: str) -> pd.DataFrame:
        with TemporaryDirectory() as folder:
            file = self._fetch(version, path, folder)
            return pd.read_csv(file, dtype={"case": str}, float_precision="round_trip")

    def _fetch(self, version: str, path: str, folder: str) -> Path:
        address = f"models:/{self.versions.name}/{version}/{path}"
        return Path(mlflow.artifacts.download_artifacts(address, dst_path=folder))

    def _measure(self, version: str) -> pd.DataFrame:
        with TemporaryDirectory() as folder:
            table = self.score(self._fetch(version, "artifacts", folder))
        with TemporaryDirectory() as folder:
            table.to_csv(Path(folder) / f"{self.test_set[:SHORT]}-{self.code[:SHORT]}.csv", index=False)
            self.versions.client.log_model_artifacts(self.versions.model_id(version), folder, MEASURED)
        return table


def find_rivals(tables: Tables, *, champion: str, candidate: str) -> tuple[list[Rival], list[str]]:
    """The champion and, where that is another one, the best champion so far.

    Args:
        tables: of the present test cases.
        champion: the version that is compared with.
        candidate: the version that is judged.

    Returns:
        Both; and a remark about each former champion that should be compared with and cannot.
    """
    standing = tables.now(champion)
    best, table, remarks = _best(tables, champion, standing, candidate)
    rivals = [Rival(champion, CHAMPION, standing)]
    if best != champion:
        rivals.append(Rival(best, BEST, table))
    return rivals, remarks


def _best(
    tables: Tables, champion: str, standing: pd.DataFrame, candidate: str
) -> tuple[str, pd.DataFrame, list[str]]:
    """The best of all champions; one is measured again where its known table promises more than the best."""
    former = [v for v in tables.versions.champions() if v not in (champion, candidate)]
    known = {v: table for v in former if (table := _known(tables, v)) is not None}
    best, table, remarks = champion, standing, []
    for version in sorted(known, key=lambda v: mean_dice(known[v]), reverse=True):
        if mean_dice(known[version]) <= mean_dice(table):
            break
        try:
            again = tables.now(version)
        except GONE as error:
            remarks.append(_remark(version, f"cannot be loaded ({' '.join(str(error).split())})"))
            continue
        if mean_dice(again) > mean_dice(table):
            best, table = version, again
    expected = tables.versions.tags(champion).get(BEST_SO_FAR, champion)
    if expected not in (champion, candidate, *known):
        remarks.append(_remark(expected, _why_not(tables.versions, expected)))
    return best, table, remarks


def _known(tables: Tables, version: str) -> pd.DataFrame | None:
    try:
        return tables.known(version)
    except GONE:
        return None


def mean_dice(table: pd.DataFrame) -> float:
    """The mean Dice over cases and regions."""
    return float(table[[column("dice", region) for region in REGIONS]].to_numpy().mean())


def worst_calibration_error(table: pd.DataFrame) -> float:
    """The calibration error of the worst region, mean over test cases, as `candidate.measured` has it.

    Args:
        table: a row a case, as from `eval.cases.judge_cases`.
    """
    return max(float(table[column("calibration_error", region)].mean()) for region in REGIONS)


def _remark(version: str, why: str) -> str:
    return f"not compared with version {version}, the best champion so far: it {why}"


def _why_not(versions: Versions, version: str) -> str:
    if not versions.exists(version):
        return "was deleted"
    if version not in versions.champions():
        return "was taken back by hand"
    return "has no table of these test cases"

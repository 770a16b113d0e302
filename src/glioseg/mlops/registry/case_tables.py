"""Dice per case of registered versions: stored tables, or new measurements by the present metric code."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import mlflow
import pandas as pd
from mlflow.exceptions import MlflowException

from glioseg.core.labels import REGIONS
from glioseg.evaluation.columns import column
from glioseg.mlops.registry.candidate import METRIC_CODE_HASH, TEST_SET_HASH
from glioseg.mlops.registry.gate import GateError
from glioseg.mlops.registry.versions import Versions
from glioseg.models.networks.keras_file import ModelError

PER_CASE = "per_case.csv"
REMEASURED = "measured"
"""The artifact folder of the tables that were measured again for a comparison."""
UNREADABLE = (MlflowException, OSError, ModelError)
"""Errors if a version's files are missing, or if this version of glioseg cannot load them."""
HASH_DIGITS = 16
"""Digits of a hash in a file name."""

Score = Callable[[Path], pd.DataFrame]
"""Evaluates a model folder on the present test cases: returns a table for `gate.decide`."""


@dataclass(frozen=True)
class CaseTables:
    """Dice per case of registered versions on the present test cases.

    `test_set` is the hash of these cases, `code` the hash of the present metric code. `score` evaluates a
    version that has no table of these cases by this code.
    """

    versions: Versions
    test_set: str
    code: str
    score: Score

    def current(self, version: str) -> pd.DataFrame:
        """A version's table by the present metric code; a new table is stored with the version's model.

        Raises:
            MlflowException, OSError, ModelError: the version cannot be loaded.
        """
        table = self._by_present_code(version)
        return table if table is not None else self._measure(version)

    def stored(self, version: str) -> pd.DataFrame | None:
        """A version's stored table of these cases: by the present code, else by earlier code, else None."""
        for table in (
            self._by_present_code(version),
            self._of_evaluation(version),
            self._remeasured(version, by_present_code=False),
        ):
            if table is not None:
                return table
        return None

    def _by_present_code(self, version: str) -> pd.DataFrame | None:
        same_code = self.versions.tags(version).get(METRIC_CODE_HASH) == self.code
        own = self._of_evaluation(version) if same_code else None
        return own if own is not None else self._remeasured(version, by_present_code=True)

    def _of_evaluation(self, version: str) -> pd.DataFrame | None:
        """The table that the version was registered with, if it is of these cases."""
        same_cases = self.versions.tags(version).get(TEST_SET_HASH) == self.test_set
        return self._read(version, PER_CASE) if same_cases and PER_CASE in self._files(version) else None

    def _remeasured(self, version: str, *, by_present_code: bool) -> pd.DataFrame | None:
        code = self.code[:HASH_DIGITS] if by_present_code else ""
        start = f"{REMEASURED}/{self.test_set[:HASH_DIGITS]}-{code}"
        found = sorted(file for file in self._files(version, REMEASURED) if file.startswith(start))
        return self._read(version, found[-1]) if found else None

    def _files(self, version: str, folder: str | None = None) -> set[str]:
        model_id = self.versions.model_id(version)
        return {file.path for file in self.versions.client.list_logged_model_artifacts(model_id, folder)}

    def _read(self, version: str, path: str) -> pd.DataFrame:
        with TemporaryDirectory() as folder:
            file = self._download(version, path, folder)
            return pd.read_csv(file, dtype={"case": str}, float_precision="round_trip")

    def _download(self, version: str, path: str, folder: str) -> Path:
        uri = f"models:/{self.versions.name}/{version}/{path}"
        return Path(mlflow.artifacts.download_artifacts(uri, dst_path=folder))

    def _measure(self, version: str) -> pd.DataFrame:
        with TemporaryDirectory() as folder:
            table = self.score(self._download(version, "artifacts", folder))
        with TemporaryDirectory() as folder:
            name = f"{self.test_set[:HASH_DIGITS]}-{self.code[:HASH_DIGITS]}.csv"
            table.to_csv(Path(folder) / name, index=False)
            self.versions.client.log_model_artifacts(self.versions.model_id(version), folder, REMEASURED)
        return table


def read_table(per_case: Path) -> pd.DataFrame:
    """The table of test cases that stage evaluate wrote.

    Raises:
        GateError: the file holds no table.
    """
    try:
        return pd.read_csv(per_case, dtype={"case": str})
    except ValueError as error:  # pandas' own errors are ValueErrors
        raise GateError(f"{per_case}: expected a table of cases: {error}") from None


def mean_dice(table: pd.DataFrame) -> float:
    """The mean Dice over cases and regions."""
    return float(table[[column("dice", region) for region in REGIONS]].to_numpy().mean())


def worst_calibration_error(table: pd.DataFrame) -> float:
    """The largest of the three regions' calibration errors, each a mean over test cases.

    Args:
        table: a row per case, from `evaluation.per_case.evaluate_cases`.
    """
    return max(float(table[column("calibration_error", region)].mean()) for region in REGIONS)

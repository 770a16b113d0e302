"""The registered model: raw BraTS volumes as NIfTI bytes in, a label map as NIfTI bytes out.

MLflow runs this file itself (models from code), so a version holds no pickle. It loads it beside the
version's own copy of glioseg, not the checkout.
"""

import logging
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

from glioseg.data.answers import Answer
from glioseg.data.cases import Case
from glioseg.data.guard import check_case
from glioseg.data.layouts import MODALITIES
from glioseg.data.scans import Scan, decode_scan
from glioseg.data.terms import CONTRACT, Contract, load_contract
from glioseg.data.volumes import Volume, encode_volume
from glioseg.labels import Scheme, to_scheme
from glioseg.nets.inference import MODEL_FILE, Segmenter, load_model

LOG = logging.getLogger("glioseg")


class GliosegModel(mlflow.pyfunc.PythonModel):  # type: ignore[misc]  # MLflow has no types
    """One row a case: columns `t1`, `t1ce`, `t2`, `flair` hold NIfTI files, gzip or not.

    A modality is missing where its column is, or where its cell is empty.
    """

    def load_context(self, context: Any) -> None:
        """Load the network from the version's own files."""
        folder = Path(context.artifacts[MODEL_FILE]).parent
        self._segmenter: Segmenter = load_model(folder)
        self._contract: Contract = load_contract(folder / CONTRACT)
        # The server predicts in threads; one case at a time keeps its memory within bounds.
        self._lock = threading.Lock()

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Segment every row.

        Args:
            context: MLflow's; not used after loading.
            model_input: binary columns, one for each modality; None, NaN or no bytes: missing.
            params: `scheme`: of the answer's labels (`labels.Scheme`); "brats2021" (ET = 4) if not given.

        Returns:
            A row a case: `segmentation`, a gzip NIfTI file on the case's own grid, and the volume
            of each region with its interval: `wt_ml`, `wt_low_ml`, `wt_high_ml`, `tc_ml`, ….

        Raises:
            MlflowException: a row breaks the contract of the data; the message names it, file and rule.
        """
        try:
            scheme = Scheme((params or {}).get("scheme", Scheme.BRATS2021))
            rows = model_input.to_dict("records")
            return pd.DataFrame([self._segment(i, row, scheme) for i, row in enumerate(rows)])
        except ValueError as error:
            raise MlflowException(str(error), error_code=INVALID_PARAMETER_VALUE) from None

    def _segment(self, index: int, row: dict[Any, Any], scheme: Scheme) -> dict[str, bytes | float]:
        given = {m: row[m] for m in MODALITIES if not _empty(row.get(m))}
        scans = {m: decode_scan(file, file="") for m, file in given.items()}
        images = self._sound_images(Case(f"row {index}", dict.fromkeys(given, Path()), scheme), scans)
        with self._lock:
            answer = self._answer(index, images)
        grid = next(iter(images.values())).grid
        out: dict[str, bytes | float] = {
            "segmentation": encode_volume(Volume(to_scheme(answer.labels, scheme), grid))
        }
        for name, volume in answer.volumes.items():
            region = name.lower()
            out |= {f"{region}_ml": volume.ml, f"{region}_low_ml": volume.low_ml}
            out |= {f"{region}_high_ml": volume.high_ml}
        return out

    def _sound_images(self, case: Case, scans: Mapping[str, Scan]) -> dict[str, Volume]:
        found = check_case(case, scans, self._contract)
        for finding in found:
            if finding.severity == "critical":
                raise ValueError(str(finding))
            if finding.severity == "warning":
                LOG.warning("%s", finding)
        return {name: scan.volume for name, scan in scans.items() if scan.volume is not None}

    def _answer(self, index: int, images: dict[str, Volume]) -> Answer:
        try:
            return self._segmenter.answer(images)
        except ValueError as error:
            raise ValueError(f"row {index}: {error}") from None


def _empty(cell: Any) -> bool:
    """JSON holds no None in a binary column, so no bytes stand for a missing file too."""
    return bool(pd.isna(cell)) or cell == b""


mlflow.models.set_model(GliosegModel())

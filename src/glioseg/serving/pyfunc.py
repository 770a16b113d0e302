"""The MLflow model of a registered version: NIfTI files of a case in, a label map as a NIfTI file out.

MLflow runs this file ("models from code"), so a version contains no pickle. The file imports the copy of
glioseg that is stored in the version, not the checkout.
"""

import json
import logging
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INTERNAL_ERROR, INVALID_PARAMETER_VALUE

from glioseg.core.errors import GliosegError
from glioseg.core.gzip_bytes import plausible_voxels
from glioseg.core.labels import REGIONS, LabelScheme
from glioseg.core.modalities import MODALITIES
from glioseg.data.cohort.cases import Case, Scan, decode_scan
from glioseg.data.quality.validation_report import ACCEPTED, REFUSED
from glioseg.models.inference.loading import load_model
from glioseg.models.inference.prediction import NUMERIC_COLUMNS, Prediction
from glioseg.models.inference.predictor import Predictor
from glioseg.models.networks.keras_file import MODEL_FILE
from glioseg.params.contract import Contract
from glioseg.serving.checked_case import (
    CheckedCase,
    check_scans,
    encode_labels,
    encode_probabilities,
    with_mirror,
)

LOG = logging.getLogger("glioseg")
WARNED = "warned"
SERVED = "_MLFLOW_IS_IN_SERVING_ENVIRONMENT"
"""Set in MLflow's server; nothing else distinguishes an HTTP request from a call in Python."""

PROBABILITIES = tuple(f"{region.lower()}_probability" for region in REGIONS)

Row = dict[str, Any]
Brief = dict[str, str]
"""A finding as JSON, from `Finding.brief`."""


@dataclass(frozen=True)
class RequestOptions:
    """The parameters of a call; `mirror` None is the model's own setting."""

    scheme: LabelScheme = LabelScheme.BRATS2021
    mirror: bool | None = None
    probabilities: bool = False


class GliosegModel(mlflow.pyfunc.PythonModel):  # type: ignore[misc]  # MLflow has no types
    """One row for each case: the columns `t1`, `t1ce`, `t2`, `flair` hold NIfTI files, compressed or not.

    A modality is missing if its column is missing or its cell is empty.
    """

    def load_context(self, context: Any) -> None:
        """Load the network from the files of the version."""
        self._predictor: Predictor = load_model(Path(context.artifacts[MODEL_FILE]).parent)
        self._contract: Contract = self._predictor.contract
        # MLflow's server calls `predict` in threads; one case at a time limits its memory.
        self._lock = threading.Lock()

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Segment every row. A row that breaks the contract does not affect the others.

        Args:
            context: MLflow's; not used after loading.
            model_input: binary columns, one for each modality; None, NaN or no bytes: missing.
            params: `scheme`: label scheme of the result (`labels.LabelScheme`), default "brats2021" (ET = 4);
                `mirror`: whether to average over mirror images, default the setting of the model;
                `probabilities`: whether to return probability maps too.

        Returns:
            One row for each case. `segmentation`: a .nii.gz file on the grid of the case; the columns of
            `prediction.NUMERIC_COLUMNS`; `low_confidence_reasons`; `calibrated_on`: "synthetic", "real" or
            "", the cases behind intervals and confidence; `contract_check`: the findings of the contract as
            JSON. If requested, `wt_probability`, `tc_probability` and `et_probability`: NIfTI
            files too. A rejected row has only its contract check: its files are empty and its numbers None.

        Raises:
            MlflowException: a parameter is not valid; or, in MLflow's server, the only row of the request is
                rejected. The message is one line and contains nothing of a file.
        """
        try:
            options = _options(params)
            if model_input.columns.empty:  # MLflow drops unknown columns, and the rows with the last of them
                raise GliosegError(f"expected a column of {', '.join(MODALITIES)}, got none")
            predictor = with_mirror(self._predictor, options.mirror)
            cases = model_input.reindex(columns=list(MODALITIES)).to_dict("records")
            rows = [self._segment(predictor, f"row {i}", cells, options) for i, cells in enumerate(cases)]
        except GliosegError as error:
            raise _error(str(error), INVALID_PARAMETER_VALUE) from None
        except Exception as error:
            LOG.exception("a case could not be segmented")
            raise _error("a case could not be segmented; see the log", INTERNAL_ERROR) from error
        if len(rows) == 1 and SERVED in os.environ:
            _raise_if_rejected(rows[0])
        # JSON has no NaN: unknown values stay None.
        return pd.DataFrame(rows, index=model_input.index, dtype=object)

    def _segment(
        self, predictor: Predictor, name: str, cells: Mapping[Any, Any], options: RequestOptions
    ) -> Row:
        scans = {m: _scan(cells[m]) for m in MODALITIES if not _is_empty(cells[m])}
        case = Case(name, dict.fromkeys(scans, Path()), options.scheme)
        checked = check_scans(case, scans, self._contract)
        findings = [finding.brief for finding in checked.findings]
        if checked.critical:
            return _rejected_row(findings, options)
        try:
            with self._lock:
                prediction = checked.predict(predictor)
        except GliosegError as error:
            return _rejected_row([_critical("prediction", str(error)), *findings], options)
        return (
            _files(prediction, checked, options)
            | prediction.numeric_values
            | {
                "low_confidence_reasons": "; ".join(prediction.low_confidence_reasons),
                "calibrated_on": prediction.calibrated_on or "",
                "contract_check": _contract_check(findings),
            }
        )


def _options(params: Mapping[str, Any] | None) -> RequestOptions:
    given = {name: value for name, value in (params or {}).items() if value is not None}
    scheme = given.pop("scheme", LabelScheme.BRATS2021)
    if scheme not in list(LabelScheme):
        raise GliosegError(f"scheme: expected one of {', '.join(LabelScheme)}, got {scheme}")
    return RequestOptions(LabelScheme(scheme), **given)


def _is_empty(cell: Any) -> bool:
    """Whether a modality is missing: JSON has no None in a binary column, so empty bytes count as missing."""
    if isinstance(cell, bytes | bytearray):
        return not cell
    return pd.api.types.is_scalar(cell) and bool(pd.isna(cell))


def _scan(cell: Any) -> Scan:
    if isinstance(cell, bytes | bytearray):
        content = bytes(cell)
        return decode_scan(content, file="", max_voxels=plausible_voxels(content))
    # MLflow accepts text in a binary column.
    return Scan("", problem=f"{type(cell).__name__} and no bytes")


def _critical(rule: str, message: str) -> Brief:
    return {"rule": rule, "field": "", "severity": "critical", "message": message}


def _contract_check(findings: Sequence[Brief]) -> str:
    severities = {finding["severity"] for finding in findings}
    status = REFUSED if "critical" in severities else WARNED if "warning" in severities else ACCEPTED
    return json.dumps({"status": status, "findings": findings})


def _rejected_row(findings: Sequence[Brief], options: RequestOptions) -> Row:
    files = ["segmentation", *(PROBABILITIES if options.probabilities else ())]
    numbers = dict.fromkeys(NUMERIC_COLUMNS)
    return (
        dict.fromkeys(files, b"")
        | numbers
        | {"low_confidence_reasons": "", "calibrated_on": "", "contract_check": _contract_check(findings)}
    )


def _files(prediction: Prediction, checked: CheckedCase, options: RequestOptions) -> Row:
    files = {"segmentation": encode_labels(prediction, checked.grid, options.scheme)}
    if not options.probabilities:
        return files
    maps = encode_probabilities(prediction, checked.grid).values()
    return files | dict(zip(PROBABILITIES, maps, strict=True))


def _raise_if_rejected(row: Row) -> None:
    check = json.loads(row["contract_check"])
    if check["status"] != REFUSED:
        return
    worst = check["findings"][0]
    where = f"row 0/{worst['field']}" if worst["field"] else "row 0"
    line = f"{where}: {worst['rule']}: {worst['message']}"
    raise _error(line, INVALID_PARAMETER_VALUE, findings=check["findings"])


def _error(line: str, code: int, **details: object) -> MlflowException:
    """An error whose response is this line alone; MLflow's server would add the first bytes of the files."""
    error = MlflowException(line, error_code=code, **details)
    error.json_kwargs["message"] = line
    return error


mlflow.models.set_model(GliosegModel())

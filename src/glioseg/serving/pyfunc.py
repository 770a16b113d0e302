"""The registered model: raw BraTS volumes as NIfTI bytes in, a label map as NIfTI bytes out.

MLflow runs this file itself (models from code), so a version holds no pickle. It loads it beside the
version's own copy of glioseg, not the checkout.
"""

import json
import logging
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INTERNAL_ERROR, INVALID_PARAMETER_VALUE

from glioseg.core.errors import GliosegError
from glioseg.core.labels import REGIONS, Scheme, to_scheme
from glioseg.core.modalities import MODALITIES
from glioseg.core.nifti import Grid, Volume, encode_shares, encode_volume, fair_voxels
from glioseg.data.cohort.case_io import Scan, decode_scan
from glioseg.data.cohort.cases import Case
from glioseg.data.quality.case_validation import check_case
from glioseg.data.quality.validation_report import ACCEPTED, REFUSED
from glioseg.models.inference.prediction import NUMBERS, Answer
from glioseg.models.inference.predictor import Segmenter, load_model
from glioseg.models.networks.keras_file import MODEL_FILE
from glioseg.params.contract import Contract

LOG = logging.getLogger("glioseg")
WARNED = "warned"
SERVED = "_MLFLOW_IS_IN_SERVING_ENVIRONMENT"
"""Set where MLflow's server is the caller; nothing else tells a request from a call in Python."""

PROBABILITIES = tuple(f"{region.lower()}_probability" for region in REGIONS)

Row = dict[str, Any]
Brief = dict[str, str]
"""A finding, as `Finding.brief` tells it."""


@dataclass(frozen=True)
class Wish:
    """What a call asks for; `mirror` None leaves that to the model."""

    scheme: Scheme = Scheme.BRATS2021
    mirror: bool | None = None
    probabilities: bool = False


class GliosegModel(mlflow.pyfunc.PythonModel):  # type: ignore[misc]  # MLflow has no types
    """One row a case: columns `t1`, `t1ce`, `t2`, `flair` hold NIfTI files, gzip or not.

    A modality is missing where its column is, or where its cell is empty.
    """

    def load_context(self, context: Any) -> None:
        """Load the network from the version's own files."""
        self._segmenter: Segmenter = load_model(Path(context.artifacts[MODEL_FILE]).parent)
        self._contract: Contract = self._segmenter.contract
        # The server predicts in threads; one case at a time keeps its memory within bounds.
        self._lock = threading.Lock()

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Segment every row. One that breaks the contract keeps no other from its answer.

        Args:
            context: MLflow's; not used after loading.
            model_input: binary columns, one for each modality; None, NaN or no bytes: missing.
            params: `scheme`: of the answer's labels (`labels.Scheme`), "brats2021" (ET = 4) if not given;
                `mirror`: whether to average over mirror images, as the model was set up if not given;
                `probabilities`: whether to answer with those too.

        Returns:
            A row a case. `segmentation`: a gzip NIfTI file on the case's own grid; the columns of
            `answers.NUMBERS`; `doubt`: why confidence is low, if it is; `verdict`: JSON, the contract's.
            Where asked, `wt_probability`, `tc_probability` and `et_probability`: NIfTI files too. A row that
            is refused has its verdict alone: no bytes, and None for numbers.

        Raises:
            MlflowException: a wish that cannot be met; or, in MLflow's server, the request's only row is
                refused. It says one line, and holds nothing of a file.
        """
        try:
            wish = _wish(params)
            if model_input.columns.empty:  # MLflow drops unknown columns, and the rows with the last of them
                raise GliosegError(f"expected a column of {', '.join(MODALITIES)}, got none")
            segmenter = self._set_up(wish.mirror)
            cases = model_input.reindex(columns=list(MODALITIES)).to_dict("records")
            rows = [self._segment(segmenter, f"row {i}", cells, wish) for i, cells in enumerate(cases)]
        except GliosegError as error:
            raise _error(str(error), INVALID_PARAMETER_VALUE) from None
        except Exception as error:
            LOG.exception("a case could not be segmented")
            raise _error("a case could not be segmented; the log says why", INTERNAL_ERROR) from error
        if len(rows) == 1 and SERVED in os.environ:
            _raise_if_refused(rows[0])
        # JSON has no NaN: what is not known stays None.
        return pd.DataFrame(rows, index=model_input.index, dtype=object)

    def _set_up(self, mirror: bool | None) -> Segmenter:
        own = self._segmenter.settings
        return replace(
            self._segmenter, settings=replace(own, mirror=own.mirror if mirror is None else mirror)
        )

    def _segment(self, segmenter: Segmenter, name: str, cells: Mapping[Any, Any], wish: Wish) -> Row:
        given = {m: cells[m] for m in MODALITIES if not _empty(cells[m])}
        scans = {m: _scan(cell) for m, cell in given.items()}
        case = Case(name, dict.fromkeys(given, Path()), wish.scheme)
        found = [finding.brief for finding in check_case(case, scans, self._contract)]
        if not given:
            found = [_flaw("modality", f"expected at least one of {', '.join(MODALITIES)}, got none")]
        if _status(found) == REFUSED:
            return _refused(found, wish)
        images = {m: scan.volume for m, scan in scans.items() if scan.volume is not None}
        try:
            with self._lock:
                answer = segmenter.answer(images)
        except GliosegError as error:
            return _refused([_flaw("prediction", str(error)), *found], wish)
        grid = next(iter(images.values())).grid
        return (
            _files(answer, grid, wish)
            | answer.numbers
            | {"doubt": "; ".join(answer.doubt), "verdict": _verdict(found)}
        )


def _wish(params: Mapping[str, Any] | None) -> Wish:
    given = {name: value for name, value in (params or {}).items() if value is not None}
    scheme = given.pop("scheme", Scheme.BRATS2021)
    if scheme not in list(Scheme):
        raise GliosegError(f"scheme: expected one of {', '.join(Scheme)}, got {scheme}")
    return Wish(Scheme(scheme), **given)


def _empty(cell: Any) -> bool:
    """JSON holds no None in a binary column, so no bytes stand for a missing file too."""
    if isinstance(cell, bytes | bytearray):
        return not cell
    return pd.api.types.is_scalar(cell) and bool(pd.isna(cell))


def _scan(cell: Any) -> Scan:
    if isinstance(cell, bytes | bytearray):
        content = bytes(cell)
        return decode_scan(content, file="", most_voxels=fair_voxels(content))
    return Scan(
        "", problem=f"{type(cell).__name__} and no bytes"
    )  # MLflow lets text pass for a binary column


def _flaw(rule: str, message: str) -> Brief:
    return {"rule": rule, "field": "", "severity": "critical", "message": message}


def _status(found: Sequence[Brief]) -> str:
    severities = {finding["severity"] for finding in found}
    return REFUSED if "critical" in severities else WARNED if "warning" in severities else ACCEPTED


def _verdict(found: Sequence[Brief]) -> str:
    return json.dumps({"status": _status(found), "findings": found})


def _refused(found: Sequence[Brief], wish: Wish) -> Row:
    files = ["segmentation", *(PROBABILITIES if wish.probabilities else ())]
    return dict.fromkeys(files, b"") | dict.fromkeys(NUMBERS) | {"doubt": "", "verdict": _verdict(found)}


def _files(answer: Answer, grid: Grid, wish: Wish) -> Row:
    files = {"segmentation": encode_volume(Volume(to_scheme(answer.labels, wish.scheme), grid))}
    if not wish.probabilities:
        return files
    regions = np.moveaxis(answer.probabilities.on_grid(), -1, 0)
    return files | {
        name: encode_shares(shares, grid) for name, shares in zip(PROBABILITIES, regions, strict=True)
    }


def _raise_if_refused(row: Row) -> None:
    verdict = json.loads(row["verdict"])
    if verdict["status"] != REFUSED:
        return
    worst = verdict["findings"][0]
    where = f"row 0/{worst['field']}" if worst["field"] else "row 0"
    line = f"{where}: {worst['rule']}: {worst['message']}"
    raise _error(line, INVALID_PARAMETER_VALUE, findings=verdict["findings"])


def _error(line: str, code: int, **facts: object) -> MlflowException:
    """An error that answers with this line alone: MLflow's server puts the files' first bytes before it."""
    error = MlflowException(line, error_code=code, **facts)
    error.json_kwargs["message"] = line
    return error


mlflow.models.set_model(GliosegModel())

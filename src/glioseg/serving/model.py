"""The registered model: raw BraTS volumes as NIfTI bytes in, a label map as NIfTI bytes out.

MLflow runs this file itself (models from code), so a version holds no pickle. It loads it beside the
version's own copy of glioseg, not the checkout.
"""

import math
import threading
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

from glioseg.data.cases import MODALITIES
from glioseg.data.volumes import Volume, decode_volume, encode_volume
from glioseg.labels import REGIONS, Scheme, regions_from_labels, to_scheme
from glioseg.nets.inference import MODEL_FILE, Segmenter, load_model


class GliosegModel(mlflow.pyfunc.PythonModel):  # type: ignore[misc]  # MLflow has no types
    """One row a case: columns `t1`, `t1ce`, `t2`, `flair` hold NIfTI files, gzip or not."""

    def load_context(self, context: Any) -> None:
        """Load the network from the version's own files."""
        self._segmenter: Segmenter = load_model(Path(context.artifacts[MODEL_FILE]).parent)
        # The server predicts in threads; one case at a time keeps its memory within bounds.
        self._lock = threading.Lock()

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Segment every row.

        Args:
            context: MLflow's; not used after loading.
            model_input: binary columns, one for each modality.
            params: `scheme`: "brats2021" (ET = 4, the default) or "brats2023" (ET = 3).

        Returns:
            A row a case: `segmentation`, a gzip NIfTI file on the case's own grid, and the volume
            of each region: `wt_ml`, `tc_ml`, `et_ml`.
        """
        try:
            scheme = Scheme((params or {}).get("scheme", Scheme.BRATS2021))
            rows = model_input.to_dict("records")
            return pd.DataFrame([self._segment(i, row, scheme) for i, row in enumerate(rows)])
        except ValueError as error:
            raise MlflowException(str(error), error_code=INVALID_PARAMETER_VALUE) from None

    def _segment(self, index: int, row: dict[Any, Any], scheme: Scheme) -> dict[str, bytes | float]:
        images = {m: decode_volume(row[m], name=f"row {index}: {m}") for m in MODALITIES}
        grid = images[MODALITIES[0]].grid
        with self._lock:
            labels = self._segmenter.segment(images)
        voxel_ml = math.prod(grid.spacing_mm) / 1000
        voxels = regions_from_labels(labels).sum(axis=(0, 1, 2))
        volumes = {
            f"{name.lower()}_ml": float(count) * voxel_ml for name, count in zip(REGIONS, voxels, strict=True)
        }
        return {"segmentation": encode_volume(Volume(to_scheme(labels, scheme), grid)), **volumes}


mlflow.models.set_model(GliosegModel())

"""The settings of a trained network, in a small JSON file next to its weights."""

import json
from collections.abc import Callable, Mapping
from dataclasses import MISSING, asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from glioseg.core.files import write_atomic
from glioseg.core.geometry import Shape3
from glioseg.core.labels import REGIONS
from glioseg.models.inference.quality_estimation import QualityEstimator
from glioseg.models.networks.keras_file import ModelError

if TYPE_CHECKING:
    from glioseg.params.sections import Crop, Inference, Network, Train

SETTINGS_FILE = "settings.json"
Regions3 = tuple[float, float, float]
"""A number for each of WT, TC and ET."""
CaseKind = Literal["synthetic", "real"]

OBSOLETE_SETTINGS = {"value_bytes", "volume_reach"}
"""Settings of earlier versions, which are ignored: feature maps are always float32, and the level of the old
intervals is not known."""


@dataclass(frozen=True)
class VolumeIntervals:
    """The prediction intervals of a model's volumes, see `uncertainty`.

    `half_width`: of WT, TC and ET, in multiples of a case's uncertainty; `level`: the probability that an
    interval contains a new case's true volume; `cases`: the number of calibration cases, which limits the
    level; `shift`: how far the middle of an interval lies above the predicted volume, in the same multiples.
    """

    half_width: Regions3
    level: float
    cases: int
    shift: Regions3 = (0.0, 0.0, 0.0)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "VolumeIntervals":
        """Rebuild intervals from the JSON form of `asdict`, which has lists for tuples."""
        wt, tc, et = record["half_width"]
        up_wt, up_tc, up_et = map(float, record.get("shift", (0, 0, 0)))
        half_width = float(wt), float(tc), float(et)
        return cls(half_width, float(record["level"]), int(record["cases"]), (up_wt, up_tc, up_et))


@dataclass(frozen=True)
class Settings:
    """Settings of a network: architecture, training, inference, and the results of calibration.

    `spacing_mm`: resolution of its training; `multiple`: grids must be multiples of this many
    voxels; `margin_vox`: margin of the brain box at 1 mm; `target`: the meaning of its channels;
    `base_filters`: filters at full resolution, which determine the required memory;
    `modality_dropout`: probability that a training patch lacked modalities.

    `window_shape` (voxels at `spacing_mm`), `overlap`, `memory_gb`, `mirror`: as in `Inference`.

    `one_pass`: whether to run a whole crop in one pass where memory allows, see `selection/calibrate`;
    `threshold`, `min_et_ml`, `min_component_ml`: see `postprocess`; `temperature`,
    `calibration_error_before`, `calibration_error_after`: of WT, TC and ET, see `calibration`;
    `volume_intervals`: None where calibration cases were too few;
    `confidence`: the quality estimator, None for a model that was calibrated without one;
    `confidence_unmirrored`, `volume_intervals_unmirrored`: the same for predictions without mirroring, None
    if these were not calibrated separately;
    `calibrated_on`: the kind of cases behind the intervals and the quality estimator, None for models of
    versions that did not record it.
    """

    spacing_mm: int
    multiple: int
    margin_vox: int
    target: Literal["regions", "labels"]
    base_filters: int
    modality_dropout: float
    window_shape: Shape3
    overlap: float
    memory_gb: float
    mirror: bool
    one_pass: bool = True
    threshold: float = 0.5
    min_et_ml: float = 0.0
    min_component_ml: float = 0.0
    temperature: Regions3 = (1.0, 1.0, 1.0)
    volume_intervals: VolumeIntervals | None = None
    calibration_error_before: Regions3 | None = None
    calibration_error_after: Regions3 | None = None
    confidence: QualityEstimator | None = None
    confidence_unmirrored: QualityEstimator | None = None
    volume_intervals_unmirrored: VolumeIntervals | None = None
    calibrated_on: CaseKind | None = None

    @classmethod
    def untuned(cls, network: "Network", train: "Train", crop: "Crop", inference: "Inference") -> "Settings":
        """The settings that params.yaml determines, before calibration chooses the rest."""
        return cls(
            spacing_mm=network.spacing_mm,
            multiple=2 ** (network.depth - 1),
            margin_vox=crop.margin_vox,
            target=network.target,
            base_filters=network.base_filters,
            modality_dropout=train.modality_dropout,
            window_shape=train.patch_shape,
            overlap=inference.overlap,
            memory_gb=inference.memory_gb,
            mirror=inference.mirror,
        )

    def with_mirroring(self, mirror: bool) -> "Settings":
        """The settings with test-time mirroring switched on or off, and what was calibrated for that."""
        if mirror or self.confidence_unmirrored is None:
            return replace(self, mirror=mirror)
        return replace(
            self,
            mirror=False,
            confidence=self.confidence_unmirrored,
            volume_intervals=self.volume_intervals_unmirrored,
        )

    @property
    def calibration(self) -> dict[str, float]:
        """The calibration errors by name, e.g. `calibration_error_after_wt`; empty before calibration."""
        named = {"before": self.calibration_error_before, "after": self.calibration_error_after}
        return {
            f"calibration_error_{when}_{region.lower()}": error
            for when, errors in named.items()
            for region, error in zip(REGIONS, errors or (), strict=False)
        }

    @property
    def summary(self) -> dict[str, object]:
        """The settings for reports: all except the quality estimators, which have many numbers."""
        return {name: value for name, value in asdict(self).items() if not name.startswith("confidence")}

    def save(self, folder: Path) -> None:
        """Write the settings beside the model file."""
        write_atomic(folder / SETTINGS_FILE, json.dumps(asdict(self), indent=2).encode() + b"\n")

    @classmethod
    def load(cls, folder: Path) -> "Settings":
        """Read the settings of a model folder.

        Raises:
            ModelError: the file is missing, or a required setting is missing, or a setting is unknown.
        """
        path = folder / SETTINGS_FILE
        try:
            record = json.loads(path.read_text())
            given, known = record.keys() - OBSOLETE_SETTINGS, {field.name for field in fields(cls)}
            required = {field.name for field in fields(cls) if field.default is MISSING}
        except (OSError, ValueError, AttributeError) as error:
            raise ModelError(f"{path}: not a model's settings: {error}") from None
        if not required <= given <= known:
            wrong = ", ".join(sorted((required - given) | (given - known)))
            raise ModelError(f"{path}: not a model's settings: missing or unknown: {wrong}")
        # JSON has no tuples, and settings with lists would not equal settings with tuples.
        listed = {name: record[name] for name in given}
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in listed.items()}
        for name, read in NESTED_SETTINGS.items():
            if values.get(name):
                try:
                    values[name] = read(values[name])
                except (KeyError, TypeError, ValueError) as error:
                    raise ModelError(f"{path}: not a model's settings: {name}: {error}") from None
        return cls(**values)


NESTED_SETTINGS: dict[str, Callable[[Any], object]] = {
    "confidence": QualityEstimator.from_record,
    "confidence_unmirrored": QualityEstimator.from_record,
    "volume_intervals": VolumeIntervals.from_record,
    "volume_intervals_unmirrored": VolumeIntervals.from_record,
}
"""The settings that are objects, and the function that rebuilds each from JSON."""

"""The sections of params.yaml as frozen, validated objects; `study` holds section `tune`."""

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from glioseg.core.files import expand_user
from glioseg.core.labels import LabelScheme, scheme_of_mapping
from glioseg.core.modalities import MODALITIES, ROLES

Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]
Voxels3 = tuple[Count, Count, Count]
Volumes = Annotated[tuple[Annotated[float, Field(ge=0)], ...], Field(min_length=1)]
ROUNDING = 1e-9
"""Tolerance for sums of fractions: 0.7 + 0.2 + 0.1 is slightly less than 1 in floating point."""
Spacing = Literal[1, 2]
Architecture = Literal["seed", "isensee", "nnunet"]
Heads = Literal["plain", "normalised"]
DeepSupervision = Literal["sum", "loss", "none"]
Target = Literal["regions", "labels"]
Output = Literal["segmentation", "grade", "survival"]
LossName = Literal["dice", "dice_ce", "focal_tversky", "seed"]
Monitor = Literal["val_dice", "val_loss", "last"]
Devices = Count | Literal["auto"]
DiceLossLimit = Annotated[float, Field(ge=0, le=1)]
PROCESSES, THREADS, SLURM = "processes", "threads", "slurm"
UserPath = Annotated[Path, AfterValidator(expand_user)]
"""A path of the user: `~` is the home folder."""
TissueName = Literal["BACKGROUND", "NCR", "ED", "ET"]
"""Names of `Label`."""
FilePattern = Annotated[str, Field(pattern=r"\{case\}")]
ADDRESS = re.compile(r"(tcp|tls|ws|wss)://[^/\s]+:\d+")


class Section(BaseModel):
    """One section of params.yaml: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _to_scheme(given: object) -> object:
    """The label scheme of a mapping, which names the tissue of each value; anything else unchanged."""
    return scheme_of_mapping(given) if isinstance(given, dict) else given


class Data(Section):
    """The source of the scans, and what the user declares about them."""

    source: Literal["phantom", "folder"]
    folder: UserPath | None = None
    scheme: Annotated[
        LabelScheme | None,
        BeforeValidator(_to_scheme, json_schema_input_type=LabelScheme | dict[int, TissueName] | None),
    ] = None
    patients: UserPath | None = None
    pattern: dict[str, FilePattern] | None = None

    @property
    def scans(self) -> Path | None:
        """The user's folder; None for the built-in cohort."""
        return self.folder if self.source == "folder" else None

    @model_validator(mode="after")
    def _check_folder(self) -> "Data":
        if self.source == "folder" and self.folder is None:
            raise ValueError("source: folder needs data.folder, the folder of your cases")
        if self.pattern is not None:
            roles = self.pattern.keys()
            if not roles & set(MODALITIES) or not roles <= set(ROLES):
                raise ValueError(
                    f"pattern: expected roles among {', '.join(ROLES)}, at least one of them a modality,"
                    f" got {', '.join(roles) or 'none'}"
                )
        return self


PhantomPreset = Literal["typical", "domain_randomised"]


class Phantom(Section):
    """The built-in synthetic cohort; `domain_randomised` varies contrasts and tumours beyond real ones."""

    cases: Count
    seed: int
    preset: PhantomPreset


class Validate(Section):
    """The consequence of a violation of the data contract (contract.yaml)."""

    on_failure: Literal["stop", "quarantine"]


class Crop(Section):
    """Cropping and storage of cases."""

    margin_vox: Annotated[int, Field(ge=0)]
    spacings_mm: tuple[Spacing, ...]
    on_the_fly: bool


class Split(Section):
    """The split of patients into test, validation and training, and of training into folds."""

    seed: int
    test_fraction: Annotated[float, Field(gt=0, lt=1)]
    validation_fraction: Annotated[float, Field(gt=0, lt=1)]
    folds: Annotated[int, Field(ge=2)]

    @model_validator(mode="after")
    def _check_fractions(self) -> "Split":
        if self.test_fraction + self.validation_fraction >= 1 - ROUNDING:
            raise ValueError(
                "expected test_fraction + validation_fraction below 1, the rest is to train on,"
                f" got {self.test_fraction:g} + {self.validation_fraction:g}"
            )
        return self


class Network(Section):
    """The 3D U-Net's architecture, and the meaning of its output channels."""

    spacing_mm: Spacing
    architecture: Architecture
    base_filters: Count
    depth: Annotated[int, Field(ge=2, le=7)]
    dropout: Annotated[float, Field(ge=0, lt=1)]
    heads: Heads
    deep_supervision: DeepSupervision
    target: Target


class Train(Section):
    """Training of the network; params.yaml of earlier versions lacks the settings that have a default."""

    seed: int
    outputs: tuple[Output, ...]
    epochs: Count
    steps_per_epoch: Count | None
    batch_size: Count
    patches_per_case: Count
    phantom_share: Annotated[float, Field(ge=0, lt=1)] = 0.0
    devices: Devices
    patch_shape: Voxels3
    tumour_fraction: Fraction
    loss: LossName
    batch_dice: bool
    cross_entropy_weight: Annotated[float, Field(ge=0)]
    learning_rate: Positive
    schedule: Literal["cosine", "constant"]
    augmentation_strength: Fraction
    modality_dropout: Fraction
    monitor: Monitor
    patience: Count
    folds: Count
    ensemble: bool = True
    init_from: Annotated[str, AfterValidator(os.path.expanduser)] | None
    tensorboard: bool
    precision: Literal["auto", "float32", "bfloat16"]

    @model_validator(mode="after")
    def _check_outputs(self) -> "Train":
        if "segmentation" not in self.outputs or len(set(self.outputs)) < len(self.outputs):
            raise ValueError(f"outputs: expected segmentation, and each once, got {list(self.outputs)}")
        return self

    @model_validator(mode="after")
    def _check_patches_per_case(self) -> "Train":
        if self.batch_size % self.patches_per_case:
            raise ValueError(
                f"patches_per_case: expected a number that divides batch_size {self.batch_size},"
                f" got {self.patches_per_case}"
            )
        return self

    @model_validator(mode="after")
    def _check_devices(self) -> "Train":
        if self.devices != "auto" and self.batch_size % self.devices:
            raise ValueError(
                f"devices: expected auto or a number that divides batch_size {self.batch_size},"
                f" got {self.devices}"
            )
        return self

    @model_validator(mode="after")
    def _check_init_from(self) -> "Train":
        if self.init_from and Path(self.init_from).parts[:1] == ("models",):
            raise ValueError(f"init_from: {self.init_from} is replaced by this training: copy it elsewhere")
        return self


class Inference(Section):
    """Inference, and the candidates from which stage `calibrate` chooses on validation cases."""

    memory_gb: Positive
    overlap: Annotated[float, Field(ge=0, lt=1)]
    mirror: bool
    threshold: Annotated[tuple[Annotated[float, Field(gt=0, lt=1)], ...], Field(min_length=1)]
    min_et_ml: Volumes
    min_component_ml: Volumes


class Evaluate(Section):
    """The summary of test metrics, and additional outputs."""

    bootstrap_samples: Count
    seed: int
    modality_subsets: bool
    imagej: bool


class DiceMargin(Section):
    """Maximum loss of mean Dice of a new version, for each region and for the mean of the three."""

    wt: DiceLossLimit
    tc: DiceLossLimit
    et: DiceLossLimit
    mean: DiceLossLimit


class PromotionLimits(Section):
    """Upper limits for a champion; null disables a limit."""

    calibration_error: Positive | None
    case_s: Positive | None
    memory_gb: Positive | None


class Register(Section):
    """Registration: the model's name, and the conditions for promotion to champion."""

    name: Annotated[str, Field(pattern=r"^[\w.-]+$")]
    builtin: bool
    margin: DiceMargin
    confidence: Annotated[float, Field(ge=0.5, lt=1)]
    samples: Count
    seed: int
    limits: PromotionLimits


def check_cluster_name(name: str) -> str:
    """The name, if it is a kind of cluster or a scheduler's address.

    Raises:
        ValueError: the name is neither.
    """
    if name not in (PROCESSES, THREADS, SLURM) and not ADDRESS.fullmatch(name):
        raise ValueError(
            f"expected {PROCESSES}, {THREADS}, {SLURM} or a scheduler's address such as tcp://host:8786,"
            f" got {name}"
        )
    return name


class Compute(Section):
    """Where cases are processed; results do not depend on this section."""

    cluster: Annotated[str, AfterValidator(check_cluster_name)] = PROCESSES
    workers: Count | None = None
    slurm: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _check_slurm_workers(self) -> "Compute":
        if self.cluster == SLURM and self.workers is None:
            raise ValueError("workers: expected the number of workers to request from Slurm, got null")
        return self

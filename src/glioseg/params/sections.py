"""The sections of params.yaml, each frozen and checked."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from glioseg.core.labels import Scheme

Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]
Voxels3 = tuple[Count, Count, Count]
Volumes = Annotated[tuple[Annotated[float, Field(ge=0)], ...], Field(min_length=1)]
ROUNDING = 1e-9
"""Of sums of fractions: 0.7 + 0.2 + 0.1 is a little less than 1."""
Spacing = Literal[1, 2]
Architecture = Literal["seed", "isensee", "nnunet"]
Heads = Literal["plain", "normalised"]
DeepSupervision = Literal["sum", "loss", "none"]
Target = Literal["regions", "labels"]
Output = Literal["segmentation", "grade", "survival"]
LossName = Literal["dice", "dice_ce", "focal_tversky", "seed"]
Monitor = Literal["val_dice", "val_loss"]
Devices = Count | Literal["auto"]


class Section(BaseModel):
    """One section of params.yaml: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Data(Section):
    """Where the scans come from, and what the user says of them."""

    source: Literal["phantom", "folder"]
    folder: Path | None = None
    scheme: Scheme | None = None
    patients: Path | None = None

    @property
    def scans(self) -> Path | None:
        """The user's folder; None where the cohort is built in."""
        return self.folder if self.source == "folder" else None

    @model_validator(mode="after")
    def _folder_when_asked(self) -> "Data":
        if self.source == "folder" and self.folder is None:
            raise ValueError("source: folder needs data.folder, the folder of your cases")
        return self


PhantomPreset = Literal["typical", "domain_randomised"]


class Phantom(Section):
    """The built-in cohort; `domain_randomised` holds looks and tumours far wider than real ones."""

    cases: Count
    seed: int
    preset: PhantomPreset


class Validate(Section):
    """What a violation of the data contract does; contract.yaml holds the contract itself."""

    on_failure: Literal["stop", "quarantine"]


class Crop(Section):
    """How a case is cropped and stored."""

    margin_vox: Annotated[int, Field(ge=0)]
    spacings_mm: tuple[Spacing, ...]
    on_the_fly: bool


class Split(Section):
    """How patients are divided: into parts, and those of training into folds."""

    seed: int
    test_fraction: Annotated[float, Field(gt=0, lt=1)]
    validation_fraction: Annotated[float, Field(gt=0, lt=1)]
    folds: Annotated[int, Field(ge=2)]

    @model_validator(mode="after")
    def _leaves_some_to_train_on(self) -> "Split":
        if self.test_fraction + self.validation_fraction >= 1 - ROUNDING:
            raise ValueError(
                "expected test_fraction + validation_fraction below 1, the rest is to train on,"
                f" got {self.test_fraction:g} + {self.validation_fraction:g}"
            )
        return self


class Network(Section):
    """The 3D U-Net's shape, and what its channels stand for."""

    spacing_mm: Spacing
    architecture: Architecture
    base_filters: Count
    depth: Annotated[int, Field(ge=2, le=7)]
    dropout: Annotated[float, Field(ge=0, lt=1)]
    heads: Heads
    deep_supervision: DeepSupervision
    target: Target


class Train(Section):
    """How the network is trained."""

    seed: int
    outputs: tuple[Output, ...]
    epochs: Count
    steps_per_epoch: Count | None
    batch_size: Count
    patches_per_case: Count
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
    init_from: str | None
    tensorboard: bool
    precision: Literal["auto", "float32", "bfloat16"]

    @model_validator(mode="after")
    def _segments(self) -> "Train":
        if "segmentation" not in self.outputs or len(set(self.outputs)) < len(self.outputs):
            raise ValueError(f"outputs: expected segmentation, and each once, got {list(self.outputs)}")
        return self

    @model_validator(mode="after")
    def _has_whole_cases(self) -> "Train":
        if self.batch_size % self.patches_per_case:
            raise ValueError(
                f"patches_per_case: expected a number that divides batch_size {self.batch_size},"
                f" got {self.patches_per_case}"
            )
        return self

    @model_validator(mode="after")
    def _can_be_shared(self) -> "Train":
        if self.devices != "auto" and self.batch_size % self.devices:
            raise ValueError(
                f"devices: expected auto or a number that divides batch_size {self.batch_size},"
                f" got {self.devices}"
            )
        return self

    @model_validator(mode="after")
    def _starts_from_what_stays(self) -> "Train":
        if self.init_from and Path(self.init_from).parts[:1] == ("models",):
            raise ValueError(f"init_from: {self.init_from} is replaced by this training: copy it elsewhere")
        return self


class Inference(Section):
    """How a trained network segments a case, and what its validation cases choose from."""

    memory_gb: Positive
    overlap: Annotated[float, Field(ge=0, lt=1)]
    mirror: bool
    threshold: Annotated[tuple[Annotated[float, Field(gt=0, lt=1)], ...], Field(min_length=1)]
    min_et_ml: Volumes
    min_component_ml: Volumes


class Evaluate(Section):
    """How the test metrics are summarised, and what is made beside them."""

    bootstrap_samples: Count
    seed: int
    modality_subsets: bool
    imagej: bool

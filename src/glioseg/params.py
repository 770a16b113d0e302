"""params.yaml as frozen, checked objects. Only pipelines/ and cli.py read it."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from glioseg.geometry import check_patch
from glioseg.labels import Scheme
from glioseg.memory import FLOAT32_BYTES, check_window, peak_gb
from glioseg.settings_file import ParamsError, parse_yaml, wrong_value

Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]
Voxels3 = tuple[Count, Count, Count]
Volumes = Annotated[tuple[Annotated[float, Field(ge=0)], ...], Field(min_length=1)]
Spacing = Literal[1, 2]
Architecture = Literal["seed", "isensee", "nnunet"]
Heads = Literal["plain", "normalised"]
DeepSupervision = Literal["sum", "loss", "none"]
Target = Literal["regions", "labels"]
Output = Literal["segmentation", "grade", "survival"]
LossName = Literal["dice", "dice_ce", "focal_tversky", "seed"]
Monitor = Literal["val_dice", "val_loss"]


class Section(BaseModel):
    """One section of params.yaml: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Data(Section):
    """Where the scans come from."""

    source: Literal["phantom", "folder"]
    folder: Path | None = None
    scheme: Scheme | None = None

    @property
    def scans(self) -> Path | None:
        """The user's folder; None where the cohort is built in."""
        return self.folder if self.source == "folder" else None

    @model_validator(mode="after")
    def _folder_when_asked(self) -> "Data":
        if self.source == "folder" and self.folder is None:
            raise ValueError("source: folder needs data.folder, the folder of your cases")
        return self


class Phantom(Section):
    """The built-in cohort."""

    cases: Count
    seed: int


class Validate(Section):
    """What a violation of the data contract does; contract.yaml holds the contract itself."""

    on_failure: Literal["stop", "quarantine"]


class Crop(Section):
    """How a case is cropped and stored."""

    margin_vox: Annotated[int, Field(ge=0)]
    spacings_mm: tuple[Spacing, ...]
    on_the_fly: bool


class Split(Section):
    """How cases are divided."""

    seed: int
    test_fraction: Fraction
    validation_fraction: Fraction
    folds: Annotated[int, Field(ge=2)]


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
    def _starts_from_what_stays(self) -> "Train":
        if self.init_from and Path(self.init_from).parts[:1] == ("models",):
            raise ValueError(f"init_from: {self.init_from} is replaced by this training: copy it elsewhere")
        return self


class Inference(Section):
    """How a trained network segments a case, and what its validation cases choose from."""

    memory_gb: Positive
    overlap: Annotated[float, Field(ge=0, lt=1)]
    mirror: bool
    min_et_ml: Volumes
    min_component_ml: Volumes


class Range(Section):
    """Numbers from low to high that a trial may take; whole numbers if both ends are."""

    low: int | float
    high: int | float
    log: bool = False

    @model_validator(mode="after")
    def _ordered(self) -> "Range":
        if self.low > self.high or (self.log and self.low <= 0):
            raise ValueError("expected low <= high, and low > 0 on a log scale")
        return self


class Choices(Section):
    """Values of which a trial takes one."""

    choices: Annotated[tuple[int | float | str, ...], Field(min_length=1)]


TUNABLE = (Network.model_fields.keys() - {"spacing_mm", "target"}) | {
    "tumour_fraction",
    "loss",
    "batch_dice",
    "cross_entropy_weight",
    "learning_rate",
    "schedule",
    "augmentation_strength",
    "modality_dropout",
}
"""Settings of network and train that a study may search: not what decides how long or on what to train."""


class Tune(Section):
    """The study, and the space that it searches; without trials the defaults are taken."""

    trials: Annotated[int, Field(ge=0)]
    epochs: Count
    steps_per_epoch: Count | None
    seed: int
    space: dict[str, Range | Choices]

    @model_validator(mode="after")
    def _known_names(self) -> "Tune":
        strange = sorted(self.space.keys() - TUNABLE)
        if strange:
            raise ValueError(f"space: expected some of {', '.join(sorted(TUNABLE))}, got {strange}")
        return self


class Evaluate(Section):
    """How the test metrics are summarised, and what is made beside them."""

    bootstrap_samples: Count
    seed: int
    modality_subsets: bool
    imagej: bool


class Register(Section):
    """Under which name, and when the champion moves."""

    name: Annotated[str, Field(pattern=r"^[\w.-]+$")]
    margin: Annotated[float, Field(ge=0)]


class Params(Section):
    """All of params.yaml."""

    data: Data
    phantom: Phantom
    validate_: Annotated[Validate, Field(alias="validate")]
    crop: Crop
    split: Split
    network: Network
    train: Train
    inference: Inference
    tune: Tune
    evaluate: Evaluate
    register_: Annotated[Register, Field(alias="register")]

    @model_validator(mode="after")
    def _fits(self) -> "Params":
        if self.network.spacing_mm not in self.crop.spacings_mm:
            raise ValueError(
                f"network.spacing_mm: expected one of crop.spacings_mm {list(self.crop.spacings_mm)},"
                f" got {self.network.spacing_mm}"
            )
        if self.train.folds not in (1, self.split.folds):
            raise ValueError(
                f"train.folds: expected 1 or split.folds {self.split.folds}, got {self.train.folds}"
            )
        for params in (self, *self._extreme_trials()):
            check_patch(params.train.patch_shape, params.network.depth)
            window, filters = params.train.patch_shape, params.network.base_filters
            # Without bfloat16, which not every machine that predicts has.
            need_gb = peak_gb(window, base_filters=filters, bytes_per_value=FLOAT32_BYTES)
            check_window(window, need_gb=need_gb, memory_gb=self.inference.memory_gb)
        return self

    def _extreme_trials(self) -> Iterator["Params"]:
        """These settings with each value at the ends of the space, and with each choice."""
        for name, domain in self.tune.space.items():
            values = domain.choices if isinstance(domain, Choices) else (domain.low, domain.high)
            for value in values:
                try:
                    yield with_best(self, {name: value})
                except ValidationError as error:
                    message = error.errors()[0]["msg"]
                    raise ValueError(f"tune.space.{name}: {message}, got {value!r}") from None


def load_params(path: Path = Path("params.yaml")) -> Params:
    """Read params.yaml.

    Raises:
        ParamsError: one line that names the file and the field.
    """
    try:
        text = path.read_text()
    except OSError as error:
        raise ParamsError(f"{path}: {error.strerror}") from None
    return parse_params(text, path)


def parse_params(text: str, path: Path) -> Params:
    """Check the content of params.yaml; see `load_params`."""
    try:
        return Params.model_validate(parse_yaml(text, path))
    except ValidationError as error:
        raise wrong_value(path, error) from None


def with_best(params: Params, best: Mapping[str, object]) -> Params:
    """Put a study's best values in the place of those in `network` and `train`.

    Args:
        params: what params.yaml says.
        best: names of `network` or `train` to their values.
    """
    network = {k: v for k, v in best.items() if k in Network.model_fields}
    train = {k: v for k, v in best.items() if k in Train.model_fields}
    return params.model_copy(
        update={
            "network": Network.model_validate(params.network.model_dump() | network),
            "train": Train.model_validate(params.train.model_dump() | train),
        }
    )

"""params.yaml as frozen, checked objects. Only pipelines/ and cli.py read it."""

from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from glioseg.geometry import Shape3

Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]
Voxels3 = tuple[Count, Count, Count]
Spacing = Literal[1, 2]


class ParamsError(ValueError):
    """A setting that glioseg cannot work with; the message names the file and the field."""


class Section(BaseModel):
    """One section of params.yaml: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Data(Section):
    """Where the scans come from."""

    source: Literal["phantom", "folder"]
    folder: Path | None = None

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
    """What the data contract expects of a raw volume, and what a violation does."""

    on_failure: Literal["stop", "quarantine"]
    shape: Voxels3
    spacing_mm: tuple[Positive, Positive, Positive]
    min_brain_fraction: Fraction
    max_brain_fraction: Fraction


class Crop(Section):
    """How a case is cropped and stored."""

    margin_vox: Annotated[int, Field(ge=0)]
    spacings_mm: tuple[Spacing, ...]


class Split(Section):
    """How cases are divided."""

    seed: int
    test_fraction: Fraction
    validation_fraction: Fraction
    folds: Annotated[int, Field(ge=2)]


class Network(Section):
    """The 3D U-Net's shape."""

    spacing_mm: Spacing
    base_filters: Count
    depth: Annotated[int, Field(ge=2, le=7)]
    dropout: Annotated[float, Field(ge=0, lt=1)]


class Train(Section):
    """How the network is trained."""

    seed: int
    epochs: Count
    steps_per_epoch: Count
    batch_size: Count
    patch_shape: Voxels3
    tumour_fraction: Fraction
    learning_rate: Positive
    cross_entropy_weight: Annotated[float, Field(ge=0)]
    augmentation_strength: Fraction
    patience: Count
    precision: Literal["auto", "float32", "bfloat16"]
    min_et_ml: Annotated[tuple[Annotated[float, Field(ge=0)], ...], Field(min_length=1)]


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


class Tune(Section):
    """The study, and the space that it searches."""

    trials: Count
    epochs: Count
    steps_per_epoch: Count
    seed: int
    space: dict[str, Range | Choices]

    @model_validator(mode="after")
    def _known_names(self) -> "Tune":
        known = Network.model_fields.keys() | Train.model_fields.keys()
        strange = sorted(self.space.keys() - known)
        if strange:
            raise ValueError(f"space: expected names of network or train, got {strange}")
        return self


class Evaluate(Section):
    """How the test metrics are summarised."""

    bootstrap_samples: Count
    seed: int


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
        check_patch(self.train.patch_shape, max(self.network.depth, self._deepest_trial()))
        return self

    def _deepest_trial(self) -> int:
        match self.tune.space.get("depth"):
            case Range(high=high):
                return int(high)
            case Choices(choices=choices):
                return int(max(choices))
            case _:
                return self.network.depth


def check_patch(patch_shape: Shape3, depth: int) -> None:
    """Raise ValueError where a U-Net of this depth cannot halve the patch often enough."""
    multiple = 2 ** (depth - 1)
    if any(n % multiple for n in patch_shape):
        raise ValueError(
            f"train.patch_shape: expected multiples of {multiple} (depth {depth}), got {list(patch_shape)}"
        )


def load_params(path: Path = Path("params.yaml")) -> Params:
    """Read params.yaml.

    Raises:
        ParamsError: one line that names the file and the field.
    """
    try:
        return Params.model_validate(yaml.safe_load(path.read_text()))
    except OSError as error:
        raise ParamsError(f"{path}: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise ParamsError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise ParamsError(f"{path}: {field}: {message}".replace(": : ", ": ")) from None


def with_best(params: Params, best: dict[str, float | int | str]) -> Params:
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

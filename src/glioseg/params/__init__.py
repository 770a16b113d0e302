"""params.yaml as frozen, checked objects. Only pipelines/ and cli/ read it."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError, model_validator

from glioseg.core.geometry import check_patch
from glioseg.core.memory import check_window, peak_gb
from glioseg.core.settings_file import checked, read_text
from glioseg.params.compute import Compute
from glioseg.params.promotion import Register
from glioseg.params.sections import (
    Crop,
    Data,
    Evaluate,
    Inference,
    Network,
    Phantom,
    Section,
    Split,
    Train,
    Validate,
)
from glioseg.params.study import Choices, Tune


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
    compute: Compute = Compute()

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
            need_gb = peak_gb(window, base_filters=filters)
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
    return parse_params(read_text(path), path)


def parse_params(text: str, path: Path) -> Params:
    """Check the content of params.yaml; see `load_params`."""
    return checked(Params, text, path)


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

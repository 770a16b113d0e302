"""params.yaml as frozen, validated objects. Only pipelines/ and cli/ read it."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError, model_validator

from glioseg.core.geometry import check_patch_shape
from glioseg.core.memory import check_window_memory, peak_gb
from glioseg.params.sections import (
    Compute,
    Crop,
    Data,
    Evaluate,
    Inference,
    Network,
    Phantom,
    Register,
    Section,
    Split,
    Train,
    Validate,
)
from glioseg.params.settings_file import parse_settings, read_text
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
    def _check_consistency(self) -> "Params":
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
            check_patch_shape(params.train.patch_shape, params.network.depth)
            window, filters = params.train.patch_shape, params.network.base_filters
            # The estimate is for float32, because not all machines that predict have bfloat16.
            need_gb = peak_gb(window, base_filters=filters)
            check_window_memory(window, need_gb=need_gb, memory_gb=self.inference.memory_gb)
        return self

    def _extreme_trials(self) -> Iterator["Params"]:
        """Copies of these settings, each with one searched parameter at a limit or at one of its choices."""
        for name, domain in self.tune.space.items():
            values = domain.choices if isinstance(domain, Choices) else (domain.low, domain.high)
            for value in values:
                try:
                    trial = with_best_params(self, {name: value})
                except ValidationError as error:
                    message = error.errors()[0]["msg"]
                    raise ValueError(f"tune.space.{name}: {message}, got {value!r}") from None
                setting = getattr(trial.network if name in Network.model_fields else trial.train, name)
                if isinstance(value, str) and not isinstance(setting, str):
                    raise ValueError(f"tune.space.{name}: expected no text, got {value!r}; remove the quotes")
                if isinstance(value, bool) and not isinstance(setting, bool):
                    raise ValueError(f"tune.space.{name}: expected a number, got {value!r}")
                yield trial


def load_params(path: Path = Path("params.yaml")) -> Params:
    """Read params.yaml.

    Raises:
        ParamsError: one line that names the file and the field.
    """
    return parse_params(read_text(path), path)


def parse_params(text: str, path: Path) -> Params:
    """Check the content of params.yaml; see `load_params`."""
    return parse_settings(Params, text, path)


def with_best_params(params: Params, best: Mapping[str, object]) -> Params:
    """Params with a study's best values in `network` and `train`.

    Args:
        params: the content of params.yaml.
        best: name in `network` or `train` → best value.
    """
    network = {k: v for k, v in best.items() if k in Network.model_fields}
    train = {k: v for k, v in best.items() if k in Train.model_fields}
    return params.model_copy(
        update={
            "network": Network.model_validate(params.network.model_dump() | network),
            "train": Train.model_validate(params.train.model_dump() | train),
        }
    )

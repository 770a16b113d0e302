"""Section `tune` of params.yaml: the hyperparameter study and its search space."""

from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Annotated, Literal

from pydantic import Field, model_validator

from glioseg.params.sections import Count, Network, Positive, Section

Value = bool | int | float | str
Sampler = Literal["tpe", "random", "qmc", "nsga2"]
Pruner = Literal["median", "hyperband", "successive_halving", "none"]
Objectives = tuple[Literal["dice"]] | tuple[Literal["dice"], Literal["case_s"]]

REDUCTION_FACTOR = 3
"""Factor by which hyperband and successive halving extend the trials that they do not prune."""


class Conditional(Section):
    """A domain that is sampled only if each parameter in `when` has one of the given values."""

    when: dict[str, Annotated[tuple[Value, ...], Field(min_length=1)]] = Field(
        default={}, description="other searched settings, and the values that each of them must have"
    )


class Range(Conditional):
    """Numbers from low to high; integers if both limits are integers."""

    low: int | float = Field(description="smallest value")
    high: int | float = Field(description="largest value")
    log: bool = Field(default=False, description="true: sampled on a logarithmic scale")

    @model_validator(mode="after")
    def _check_order(self) -> "Range":
        if self.low > self.high or (self.log and self.low <= 0):
            raise ValueError("expected low <= high, and low > 0 on a log scale")
        return self

    @property
    def is_integer(self) -> bool:
        """Whether the range holds only integers."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def contains(self, value: Value) -> bool:
        """Whether a trial can sample exactly this value; always False for a continuous range."""
        return self.is_integer and isinstance(value, int) and self.low <= value <= self.high


class Choices(Conditional):
    """A categorical parameter."""

    choices: Annotated[tuple[Value, ...], Field(min_length=1, description="the values to choose from")]

    def contains(self, value: Value) -> bool:
        """Whether the value is one of the choices."""
        return value in self.choices


Domain = Range | Choices


class Limits(Section):
    """Upper limits for the best trial; null means no limit."""

    memory_gb: Positive | None
    case_s: Positive | None

    def excess(self, metrics: Mapping[str, float]) -> dict[str, float]:
        """Metric minus limit for each metric with a limit; positive values violate it.

        >>> Limits(memory_gb=4, case_s=None).excess({"memory_gb": 3.5, "case_s": 9.0, "dice": 0.8})
        {'memory_gb': -0.5}
        """
        limits = {name: limit for name, limit in self if limit is not None}
        return {name: metrics[name] - limit for name, limit in limits.items() if name in metrics}


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
"""Settings of network and train that a study may search, without those of the duration and the data."""


class Tune(Section):
    """The hyperparameter study; with 0 trials, the settings of network and train are used as they are."""

    trials: Annotated[int, Field(ge=0)]
    epochs: Count
    steps_per_epoch: Count | None
    seed: int
    sampler: Sampler
    pruner: Pruner
    objectives: Objectives
    limits: Limits
    space: dict[str, Domain]

    @property
    def needs_case_time(self) -> bool:
        """Whether trials must measure the inference time of a case."""
        return len(self.objectives) > 1 or self.limits.case_s is not None

    @model_validator(mode="after")
    def _check_names(self) -> "Tune":
        unknown = sorted(self.space.keys() - TUNABLE)
        if unknown:
            raise ValueError(f"space: expected some of {', '.join(sorted(TUNABLE))}, got {unknown}")
        return self

    @model_validator(mode="after")
    def _check_conditions(self) -> "Tune":
        for name, domain in self.space.items():
            for parent, values in domain.when.items():
                if parent not in self.space:
                    raise ValueError(f"space.{name}.when: expected parameters of the space, got {parent}")
                impossible = [value for value in values if not self.space[parent].contains(value)]
                if impossible:
                    raise ValueError(
                        f"space.{name}.when.{parent}: expected choices or whole numbers of {parent},"
                        f" got {impossible}"
                    )
        try:
            parents_first(self.space)
        except CycleError as error:
            raise ValueError(
                f"space: expected no circle of `when`, got {' -> '.join(error.args[1])}"
            ) from None
        return self

    @model_validator(mode="after")
    def _check_sampler_and_pruner(self) -> "Tune":
        if self.sampler == "nsga2" and len(self.objectives) < 2:
            raise ValueError("sampler: nsga2 expects objectives [dice, case_s], got [dice]")
        conditional = [name for name, domain in self.space.items() if domain.when]
        if self.sampler == "qmc" and conditional:
            raise ValueError(f"sampler: qmc expects a space without `when`, got it in {conditional}")
        if self.pruner in ("hyperband", "successive_halving") and self.epochs < REDUCTION_FACTOR:
            raise ValueError(
                f"pruner: {self.pruner} expects tune.epochs >= {REDUCTION_FACTOR}, got {self.epochs}"
            )
        return self


def parents_first(space: Mapping[str, Domain]) -> list[str]:
    """Names of the parameters, each after those on which its `when` depends.

    Raises:
        graphlib.CycleError: the dependencies contain a cycle.

    >>> parents_first({"a": Range(low=0, high=1, when={"b": (1,)}), "b": Choices(choices=(1, 2))})
    ['b', 'a']
    """
    return list(
        TopologicalSorter({name: domain.when.keys() for name, domain in space.items()}).static_order()
    )

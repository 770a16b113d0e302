"""The section `tune`: the study, and the space that it searches."""

from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Annotated, Literal

from pydantic import Field, model_validator

from glioseg.params.sections import Count, Network, Positive, Section

Value = int | float | str
Sampler = Literal["tpe", "random", "qmc", "nsga2"]
Pruner = Literal["median", "hyperband", "successive_halving", "none"]
Objectives = tuple[Literal["dice"]] | tuple[Literal["dice"], Literal["case_s"]]

RUNGS = 3
"""By this factor hyperband and successive halving lengthen the trials that they keep."""


class Conditional(Section):
    """Part of a space that is drawn only where each parameter in `when` has one of the values there."""

    when: dict[str, Annotated[tuple[Value, ...], Field(min_length=1)]] = Field(default={})


class Range(Conditional):
    """Numbers from low to high that a trial may take; whole numbers if both ends are."""

    low: int | float
    high: int | float
    log: bool = False

    @model_validator(mode="after")
    def _ordered(self) -> "Range":
        if self.low > self.high or (self.log and self.low <= 0):
            raise ValueError("expected low <= high, and low > 0 on a log scale")
        return self

    @property
    def whole(self) -> bool:
        """Whether it holds whole numbers alone."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def may_be(self, value: Value) -> bool:
        """Whether a trial may draw just this value: of a continuous range none is worth asking for."""
        return self.whole and isinstance(value, int) and self.low <= value <= self.high


class Choices(Conditional):
    """Values of which a trial takes one."""

    choices: Annotated[tuple[Value, ...], Field(min_length=1)]

    def may_be(self, value: Value) -> bool:
        """Whether it is one of the choices."""
        return value in self.choices


Domain = Range | Choices


class Limits(Section):
    """What a trial must not exceed to be the best; null: no limit."""

    memory_gb: Positive | None
    case_s: Positive | None

    def excess(self, measures: Mapping[str, float]) -> dict[str, float]:
        """By how much measures lie above their limits; negative: below.

        >>> Limits(memory_gb=4, case_s=None).excess({"memory_gb": 3.5, "case_s": 9.0, "dice": 0.8})
        {'memory_gb': -0.5}
        """
        limits = {name: limit for name, limit in self if limit is not None}
        return {name: measures[name] - limit for name, limit in limits.items() if name in measures}


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
    sampler: Sampler
    pruner: Pruner
    objectives: Objectives
    limits: Limits
    space: dict[str, Domain]

    @property
    def measures_time(self) -> bool:
        """Whether trials must measure the seconds that a case takes."""
        return len(self.objectives) > 1 or self.limits.case_s is not None

    @model_validator(mode="after")
    def _known_names(self) -> "Tune":
        strange = sorted(self.space.keys() - TUNABLE)
        if strange:
            raise ValueError(f"space: expected some of {', '.join(sorted(TUNABLE))}, got {strange}")
        return self

    @model_validator(mode="after")
    def _conditions_can_be_met(self) -> "Tune":
        for name, domain in self.space.items():
            for parent, values in domain.when.items():
                if parent not in self.space:
                    raise ValueError(f"space.{name}.when: expected parameters of the space, got {parent}")
                never = [value for value in values if not self.space[parent].may_be(value)]
                if never:
                    raise ValueError(
                        f"space.{name}.when.{parent}: expected choices or whole numbers of {parent},"
                        f" got {never}"
                    )
        try:
            parents_first(self.space)
        except CycleError as error:
            raise ValueError(
                f"space: expected no circle of `when`, got {' -> '.join(error.args[1])}"
            ) from None
        return self

    @model_validator(mode="after")
    def _fits(self) -> "Tune":
        if self.sampler == "nsga2" and len(self.objectives) < 2:
            raise ValueError("sampler: nsga2 expects objectives [dice, case_s], got [dice]")
        conditional = [name for name, domain in self.space.items() if domain.when]
        if self.sampler == "qmc" and conditional:
            raise ValueError(f"sampler: qmc expects a space without `when`, got it in {conditional}")
        if self.pruner in ("hyperband", "successive_halving") and self.epochs < RUNGS:
            raise ValueError(f"pruner: {self.pruner} expects tune.epochs >= {RUNGS}, got {self.epochs}")
        return self


def parents_first(space: Mapping[str, Domain]) -> list[str]:
    """The names of a space, each after those on which its `when` depends.

    Raises:
        graphlib.CycleError: parameters depend on each other in a circle.

    >>> parents_first({"a": Range(low=0, high=1, when={"b": (1,)}), "b": Choices(choices=(1, 2))})
    ['b', 'a']
    """
    return list(
        TopologicalSorter({name: domain.when.keys() for name, domain in space.items()}).static_order()
    )

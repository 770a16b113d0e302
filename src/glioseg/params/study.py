"""The section `tune`: the study, and the space that it searches."""

from typing import Annotated

from pydantic import Field, model_validator

from glioseg.params.sections import Count, Network, Section


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

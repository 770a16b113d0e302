"""What a study is made of, for those who run it and those who watch."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from glioseg.core.errors import GliosegError

Value = float | int | str
Values = Mapping[str, Value]
Measures = Mapping[str, float]
"""Numbers of a trial by name: `dice`, `case_s`, `memory_gb`."""
Report = Callable[[int, Mapping[str, float]], None]
Objective = Callable[[Values, Report], Measures]
Foresee = Callable[[Values], Measures]

WATCHED = "val_dice"
"""The number of each epoch by which a trial is pruned, and whose best is its result."""


class SearchError(GliosegError):
    """A study that cannot give a result."""


@dataclass(frozen=True)
class Ending:
    """How a trial ended; `dice` is the best it reached, and `broken` are the limits that it exceeds."""

    outcome: Literal["complete", "pruned", "failed", "interrupted"]
    measures: Measures = field(default_factory=dict)
    broken: tuple[str, ...] = ()


class Observer(Protocol):
    """What wants to know how a study goes."""

    def started(self, number: int, values: Values) -> None:
        """A trial begins."""

    def epoch(self, number: int, epoch: int, logs: Mapping[str, float]) -> None:
        """A trial has trained for one more epoch."""

    def ended(self, number: int, ending: Ending) -> None:
        """A trial has ended; another worker may say so too."""

    def unended(self) -> Iterable[int]:
        """The trials, of whatever worker, that have started and of whose end nobody has told."""

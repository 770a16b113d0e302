"""Drawing values from a space, conditional parameters after those that they depend on."""

from collections.abc import Callable, Mapping

from optuna.trial import Trial

from glioseg.mlops.tuning.types import SearchError, Value, Values
from glioseg.params.study import Choices, Domain, parents_first

Space = Mapping[str, Domain]


def draw(trial: Trial, space: Space) -> Values:
    """Values of a trial, as the sampler suggests them."""
    return _walk(space, lambda name, domain: _suggest(trial, name, domain))


def default(space: Space, values: Values) -> Values:
    """Given values of the whole space, clipped into it, without those whose condition is not met.

    >>> from glioseg.params.study import Range
    >>> weight = Range(low=0.5, high=2.0, when={"loss": ("dice_ce",)})
    >>> default({"cross_entropy_weight": weight, "loss": Choices(choices=("dice", "dice_ce"))},
    ...     {"cross_entropy_weight": 1.0, "loss": "dice"})
    {'loss': 'dice'}
    """
    return _walk(space, lambda name, domain: clip(values[name], domain))


def _walk(space: Space, pick: Callable[[str, Domain], Value]) -> dict[str, Value]:
    values: dict[str, Value] = {}
    for name in parents_first(space):
        if all(values.get(parent) in wanted for parent, wanted in space[name].when.items()):
            values[name] = pick(name, space[name])
    return values


def _suggest(trial: Trial, name: str, domain: Domain) -> Value:
    drawn: Value
    if isinstance(domain, Choices):
        drawn = trial.suggest_categorical(name, domain.choices)
    elif domain.whole:
        drawn = trial.suggest_int(name, domain.low, domain.high, log=domain.log)
    else:
        drawn = trial.suggest_float(name, domain.low, domain.high, log=domain.log)
    return drawn


def clip(value: Value, domain: Domain) -> Value:
    """Bring a value into a part of the space: the nearest end of a range, or the first choice.

    >>> from glioseg.params.study import Range
    >>> clip(0.5, Range(low=0.0, high=0.3)), clip(16, Choices(choices=(8, 12)))
    (0.3, 8)
    """
    if isinstance(domain, Choices):
        return value if value in domain.choices else domain.choices[0]
    if isinstance(value, str):
        raise SearchError(f"space: expected a number in {domain.low} to {domain.high}, got {value!r}")
    return min(max(value, domain.low), domain.high)

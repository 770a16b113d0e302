"""Values of a trial from the search space: suggested by the sampler, or given ones clipped into it.

A conditional parameter gets its value after the parameters that it depends on.
"""

from collections.abc import Callable, Mapping

from optuna.trial import Trial

from glioseg.mlops.tuning.study import ParamValue, ParamValues, StudyError
from glioseg.params.study import Choices, Domain, parents_first

Space = Mapping[str, Domain]


def suggest(trial: Trial, space: Space) -> ParamValues:
    """The values of a trial, as its sampler suggests them."""
    return _walk(space, lambda name, domain: _suggest(trial, name, domain))


def clip_to_space(space: Space, values: ParamValues) -> ParamValues:
    """Given values, clipped into the space, without parameters whose condition is not met.

    >>> from glioseg.params.study import Range
    >>> weight = Range(low=0.5, high=2.0, when={"loss": ("dice_ce",)})
    >>> clip_to_space({"cross_entropy_weight": weight, "loss": Choices(choices=("dice", "dice_ce"))},
    ...     {"cross_entropy_weight": 1.0, "loss": "dice"})
    {'loss': 'dice'}
    """
    return _walk(space, lambda name, domain: clip(values[name], domain))


def _walk(space: Space, pick: Callable[[str, Domain], ParamValue]) -> dict[str, ParamValue]:
    values: dict[str, ParamValue] = {}
    for name in parents_first(space):
        if all(values.get(parent) in wanted for parent, wanted in space[name].when.items()):
            values[name] = pick(name, space[name])
    return values


def _suggest(trial: Trial, name: str, domain: Domain) -> ParamValue:
    suggested: ParamValue
    if isinstance(domain, Choices):
        suggested = trial.suggest_categorical(name, domain.choices)
    elif domain.is_integer:
        suggested = trial.suggest_int(name, domain.low, domain.high, log=domain.log)
    else:
        suggested = trial.suggest_float(name, domain.low, domain.high, log=domain.log)
    return suggested


def clip(value: ParamValue, domain: Domain) -> ParamValue:
    """Clip a value into a domain: to the nearest end of a range, or to the first choice.

    >>> from glioseg.params.study import Range
    >>> clip(0.5, Range(low=0.0, high=0.3)), clip(16, Choices(choices=(8, 12)))
    (0.3, 8)
    """
    if isinstance(domain, Choices):
        return value if value in domain.choices else domain.choices[0]
    if isinstance(value, str):
        raise StudyError(f"space: expected a number in {domain.low} to {domain.high}, got {value!r}")
    return min(max(value, domain.low), domain.high)

"""Search spaces with conditions, and the values that samplers suggest from them."""

import pytest
from pydantic import ValidationError

from glioseg.mlops.tuning.search_space import clip
from glioseg.params.study import Choices, Range, parents_first
from tests.helpers.studies import CONDITIONAL, CONDITIONAL_FIRST, tune


@pytest.mark.parametrize(
    ("value", "domain", "inside"),
    [
        (0.5, Range(low=0.0, high=0.3), 0.3),
        (-1, Range(low=0, high=3), 0),
        (2, Range(low=0, high=3), 2),
        (16, Choices(choices=(8, 12)), 8),
        (12, Choices(choices=(8, 12)), 12),
    ],
)
def test_clip(value, domain, inside):
    assert clip(value, domain) == inside


def test_a_conditional_parameter_is_suggested_only_if_its_condition_is_met(run):
    study = run(tune(space=CONDITIONAL, trials=12, pruner="none"), default_values=CONDITIONAL_FIRST)
    assert study.trials[0].params == CONDITIONAL_FIRST
    for params in (trial.params for trial in study.trials):
        assert ("loss" in params) == (params["depth"] in (4, 5))
        assert ("cross_entropy_weight" in params) == (params.get("loss") == "dice_ce")
    assert len({frozenset(trial.params) for trial in study.trials}) == 3


def test_the_default_lacks_parameters_whose_condition_is_not_met(run):
    study = run(tune(space=CONDITIONAL, trials=1), default_values=CONDITIONAL_FIRST | {"depth": 3})
    assert study.trials[0].params == {"learning_rate": 0.003, "depth": 3}


def test_parents_come_first_and_the_order_is_otherwise_kept():
    assert parents_first(tune(space=CONDITIONAL).space) == [
        "depth", "learning_rate", "loss", "cross_entropy_weight",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"dropout": {"low": 0.0, "high": 0.3, "when": {"loss": ["dice"]}}},
            "expected parameters of the space",
        ),
        (
            {
                "loss": {"choices": ["dice"]},
                "dropout": {"low": 0.0, "high": 0.3, "when": {"loss": ["dice_ce"]}},
            },
            r"space.dropout.when.loss: expected choices or whole numbers of loss, got \['dice_ce'\]",
        ),
        (
            {
                "learning_rate": {"low": 0.1, "high": 0.2},
                "dropout": {"low": 0.0, "high": 0.3, "when": {"learning_rate": [0.1]}},
            },
            r"space.dropout.when.learning_rate: expected .*, got \[0.1\]",
        ),
        (
            {
                "loss": {"choices": ["dice"], "when": {"depth": [4]}},
                "depth": {"low": 3, "high": 4, "when": {"loss": ["dice"]}},
            },
            "space: expected no circle of `when`, got ",
        ),
        ({"loss": {"choices": ["dice"], "when": {"loss": ["dice"]}}}, "expected no circle"),
    ],
)
def test_a_condition_that_cannot_be_met_is_rejected(changes, message):
    with pytest.raises(ValidationError, match=message):
        tune(space=changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sampler": "nsga2"}, r"sampler: nsga2 expects objectives \[dice, case_s\], got \[dice\]"),
        ({"sampler": "qmc", "space": CONDITIONAL}, "sampler: qmc expects a space without `when`"),
        ({"pruner": "hyperband", "epochs": 2}, "pruner: hyperband expects tune.epochs >= 3, got 2"),
        ({"sampler": "gp"}, "sampler\n.*Input should be 'tpe', 'random', 'qmc' or 'nsga2'"),
        ({"objectives": ["case_s"]}, "objectives"),
        ({"limits": {"memory_gb": -1, "case_s": None}}, "limits.memory_gb"),
    ],
)
def test_settings_that_do_not_fit_together_are_rejected(changes, message):
    with pytest.raises(ValidationError, match=message):
        tune(**changes)

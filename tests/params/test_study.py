"""Search spaces: invalid ones are one line that names the field."""

import pytest

from glioseg.params import load_params
from glioseg.params.settings_file import ParamsError
from glioseg.params.study import Choices, Range


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"tune__space": {"colour": {"low": 0, "high": 1}}},
            "tune: space: expected some of architecture, augmentation_strength, base_filters",
        ),
        ({"tune__space": {"dropout": {"low": 1, "high": 0}}}, "expected low <= high"),
    ],
)
def test_an_invalid_space_is_one_line_that_names_the_field(write, changes, message):
    with pytest.raises(ParamsError) as error:
        load_params(write(**changes))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("domain", "value", "contains"),
    [
        (Range(low=2, high=4), 4, True),
        (Range(low=2, high=4), 5, False),
        (Range(low=2, high=4), 3.0, False),  # an integer range samples integers
        (Range(low=2.0, high=4.0), 3.0, False),  # a continuous range almost never samples exactly this value
        (Choices(choices=("dice", "seed")), "seed", True),
        (Choices(choices=("dice", "seed")), "dice_ce", False),
    ],
)
def test_the_values_on_which_a_parameter_can_depend(domain, value, contains):
    assert domain.contains(value) is contains

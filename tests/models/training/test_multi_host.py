"""The environment variables that name the hosts of a training."""

import keras
import pytest

from glioseg.models.training import multi_host
from glioseg.params.settings_file import ParamsError
from tests.helpers.toys import make_train


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({}, "KERAS_DISTRIBUTION_JOB_ADDRESSES: expected KERAS_BACKEND=jax with it, got tensorflow"),
        ({"jax": "1"}, "KERAS_DISTRIBUTION_NUM_PROCESSES: expected a number, because .* is set, got nothing"),
        (
            {"jax": "1", multi_host.HOST_COUNT_VARIABLE: "2", multi_host.HOST_NUMBER_VARIABLE: "x"},
            "KERAS_DISTRIBUTION_PROCESS_ID: expected a number, because .* is set, got x",
        ),
    ],
)
def test_an_error_names_the_missing_variable(
    variables: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "jax" in variables:
        monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    for name, value in ({multi_host.LEADER_VARIABLE: "nowhere:1"} | variables).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ParamsError, match=message):
        multi_host.join_hosts(make_train())


def test_without_variables_a_host_trains_alone() -> None:
    multi_host.join_hosts(make_train())
    assert multi_host.is_main_host()
    assert not multi_host.is_distributed()

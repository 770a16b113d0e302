"""`make ui`: the port, the addresses and the server's settings."""

import socket

import pytest

from glioseg.mlops.tracking import mlflow_page


def test_a_port_in_use_is_reported_before_any_address(capsys):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        line = (
            f"make ui: 127.0.0.1, port {port}: Address already in use;"
            f" choose another: make ui PORT={port + 1}"
        )
        with pytest.raises(SystemExit) as stopped:
            mlflow_page.main([str(port)])
    assert stopped.value.code == line
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("words", [[], ["five"], ["0"], ["65536"], ["5000", "5001"]])
def test_arguments_other_than_one_port_are_rejected(words):
    with pytest.raises(SystemExit, match="expected a port from 1 to 65535, got"):
        mlflow_page.main(words)


def test_the_addresses_have_the_port_and_the_experiments(shared_storage):
    lines = [line.split(maxsplit=1) for line in mlflow_page.addresses(shared_storage, 5001).splitlines()]
    runs = (
        "http://127.0.0.1:5001/#/experiments/{}/runs?workflowType=machine_learning&viewStateShareKey=glioseg"
    )
    assert lines[0] == ["trials", runs.format(1)]
    assert lines[1] == ["trainings", runs.format(2)]
    assert lines[3] == ["models", "http://127.0.0.1:5001/#/models?workflowType=machine_learning"]

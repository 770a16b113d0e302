import socket

import pytest
from typer.testing import CliRunner

from glioseg.cli import app


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.0.7", "example.org", "::"])
def test_beyond_this_machine_it_listens_only_with_a_token(host, monkeypatch):
    monkeypatch.setenv("GLIOSEG_TOKEN", "")
    result = CliRunner().invoke(app, ["serve", "--host", host])
    assert result.exit_code == 1
    assert result.output == f"glioseg serve: {host}: set GLIOSEG_TOKEN to listen beyond this machine\n"


def test_a_model_that_is_not_there_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    result = CliRunner().invoke(app, ["serve", "--model", str(tmp_path)])
    assert result.exit_code == 1
    (line,) = result.output.splitlines()
    assert line.startswith(f"glioseg serve: {tmp_path}")


def test_a_port_that_is_taken_is_one_line(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        result = CliRunner().invoke(app, ["serve", "--port", str(port)])
    assert result.exit_code == 1
    assert result.output == f"glioseg serve: 127.0.0.1, port {port}: Address already in use\n"


def test_an_alias_that_nobody_set_is_one_line(registered, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(registered.root))
    result = CliRunner().invoke(app, ["serve", "--model", "models:/glioseg@nobody"])
    assert result.exit_code == 1
    assert "glioseg serve: models:/glioseg@nobody: not in the registry: " in result.output

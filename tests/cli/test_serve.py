import os
import socket
import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

from glioseg.cli import app
from glioseg.cli.serve import take_port
from glioseg.serving import model_reloader
from tests.helpers.servers import free_port

IN_USE = "Address already in use; choose another: --port {}"


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.0.7", "example.org", "::"])
def test_an_address_that_is_not_loopback_requires_a_token(host, monkeypatch):
    monkeypatch.setenv("GLIOSEG_TOKEN", "")
    result = CliRunner().invoke(app, ["serve", "--host", host])
    assert result.exit_code == 1
    assert result.output == f"glioseg serve: {host}: set GLIOSEG_TOKEN to listen beyond this machine\n"


def test_a_missing_model_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    result = CliRunner().invoke(app, ["serve", "--port", str(free_port()), "--model", str(tmp_path)])
    assert result.exit_code == 1
    (line,) = result.output.splitlines()
    assert line.startswith(f"glioseg serve: {tmp_path}")


def test_a_port_in_use_is_one_line(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        result = CliRunner().invoke(app, ["serve", "--port", str(port)])
    assert result.exit_code == 1
    assert result.output == f"glioseg serve: 127.0.0.1, port {port}: {IN_USE.format(port + 1)}\n"


def test_a_second_service_on_a_port_ends_before_it_loads_a_model(monkeypatch):
    monkeypatch.setattr(model_reloader, "ModelReloader", lambda model: pytest.fail("it loads a model"))
    with take_port("127.0.0.1", 0) as first:  # its service loads a model meanwhile
        port = first.getsockname()[1]
        result = CliRunner().invoke(app, ["serve", "--port", str(port)])
    assert result.exit_code == 1
    assert result.output == f"glioseg serve: 127.0.0.1, port {port}: {IN_USE.format(port + 1)}\n"


@pytest.fixture
def endless(tmp_path):
    """A model folder that never finishes loading: its settings are a named pipe without a writer."""
    os.mkfifo(tmp_path / "settings.json")
    return tmp_path


def test_the_second_of_two_processes_on_one_port_ends_while_the_first_is_loading(endless):
    port = free_port()
    words = ["serve", "--port", str(port), "--model", str(endless)]
    command = [sys.executable, "-c", "from glioseg.cli import app; app()", *words]
    with subprocess.Popen(command) as first:
        while not listens(port):
            assert first.poll() is None
            time.sleep(0.05)
        second = subprocess.run(command, capture_output=True, text=True)
        loading = first.poll() is None
        first.kill()
    assert loading
    assert second.returncode == 1
    assert second.stderr == f"glioseg serve: 127.0.0.1, port {port}: {IN_USE.format(port + 1)}\n"


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_restarted_service_gets_its_port_although_clients_were_connected():
    """The side that closes first keeps the port in TIME_WAIT for a minute."""
    with take_port("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            accepted, _ = first.accept()
            accepted.close()
            assert client.recv(1) == b""
    take_port("127.0.0.1", port).close()


def test_a_missing_alias_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    words = ["--port", str(free_port()), "--model", "models:/glioseg@missing"]
    result = CliRunner().invoke(app, ["serve", *words])
    assert result.exit_code == 1
    assert "glioseg serve: models:/glioseg@missing: not in the registry: " in result.output

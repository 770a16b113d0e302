"""`make studies`: Optuna's dashboard, and what other users of the machine can see of it."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from urllib.parse import quote

import optuna
import pytest

from glioseg.mlops.tracking.storage import DATABASE_URL, ProjectStorage
from glioseg.mlops.tuning.dashboard import main
from glioseg.mlops.tuning.study import open_optuna_storage
from tests.helpers.postgres import PASSWORD, QUICK, postgres, programs
from tests.helpers.servers import command_lines, free_port, wait_for

ROOT = Path(__file__).parents[3]


@pytest.fixture
def recipe(tmp_path):
    """The commands of `make studies` if everything is installed already."""
    (tmp_path / ".venv").mkdir()
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
        os.utime(tmp_path / name, (0, 0))
    (tmp_path / ".venv" / ".ready").write_text(f"{tmp_path}\n")
    words = ["make", "-n", "-C", str(tmp_path), "--no-print-directory", "studies"]
    lines = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert "venv" not in lines
    return lines


@contextmanager
def dashboard(recipe, storage):
    """Run a recipe; yields the dashboard's address, and the output."""
    port = free_port()
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {"PATH": path, "PYTHONPATH": str(ROOT / "src"), "DVC_ROOT": str(storage.root)}
    environment |= {DATABASE_URL: storage.database_url} if storage.database_url else {}
    with TemporaryFile("w+") as output:
        process = subprocess.Popen(
            ["sh", "-c", recipe.replace("8080", str(port))],
            env=os.environ | environment,
            start_new_session=True,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            wait_for(f"http://127.0.0.1:{port}/dashboard", process, output)
            output.seek(0)
            yield f"http://127.0.0.1:{port}", output.read()
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def study_names(address):
    with urllib.request.urlopen(f"{address}/api/studies") as reply:
        return [study["study_name"] for study in json.load(reply)["study_summaries"]]


def test_without_studies_the_dashboard_starts_and_prints_its_address(recipe, tmp_path):
    with dashboard(recipe, ProjectStorage(tmp_path)) as (address, printed):
        assert study_names(address) == []
    assert printed == f"studies: {address}, until Ctrl-C\n"


def test_the_database_s_password_is_on_no_command_line_and_is_not_printed(recipe, tmp_path):
    bins = programs() or pytest.skip("no PostgreSQL: apt-get install postgresql")
    with postgres(bins, **QUICK) as database:
        storage = ProjectStorage(tmp_path, database)
        optuna.create_study(storage=open_optuna_storage(storage), study_name="one")
        with dashboard(recipe, storage) as (address, printed):
            assert study_names(address) == ["one"]
            seen = command_lines()
    assert any("glioseg.mlops.tuning.dashboard" in command for command in seen)
    assert address in printed
    for secret in (PASSWORD, quote(PASSWORD, safe="")):
        assert secret not in "".join([*seen, printed])


def test_a_port_in_use_is_reported_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        line = (
            f"^studies: 127.0.0.1, port {port}: Address already in use;"
            f" choose another: make studies PORT={port + 1}$"
        )
        with pytest.raises(SystemExit, match=line):
            main([str(port)])


@pytest.mark.parametrize("words", [[], ["eighty"], ["80", "81"]])
def test_arguments_other_than_one_port_are_rejected(words):
    with pytest.raises(SystemExit, match="expected a port, got"):
        main(words)

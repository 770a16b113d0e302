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

from glioseg.mlops.tracking.storage import DATABASE_URL, Lab
from glioseg.mlops.tuning.dashboard import main
from glioseg.mlops.tuning.study import open_storage
from tests.helpers.postgres import PASSWORD, QUICK, postgres, programs
from tests.helpers.servers import command_lines, free_port, wait_for

ROOT = Path(__file__).parents[3]


@pytest.fixture
def recipe(tmp_path):
    """What `make studies` runs where everything is installed already."""
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
def dashboard(recipe, lab):
    """Runs a recipe; yields the dashboard's address, and what was printed."""
    port = free_port()
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    around = {"PATH": path, "PYTHONPATH": str(ROOT / "src"), "DVC_ROOT": str(lab.root)}
    around |= {DATABASE_URL: lab.database_url} if lab.database_url else {}
    with TemporaryFile("w+") as said:
        process = subprocess.Popen(
            ["sh", "-c", recipe.replace("8080", str(port))],
            env=os.environ | around,
            start_new_session=True,
            stdout=said,
            stderr=subprocess.STDOUT,
        )
        try:
            wait_for(f"http://127.0.0.1:{port}/dashboard", process, said)
            said.seek(0)
            yield f"http://127.0.0.1:{port}", said.read()
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def study_names(address):
    with urllib.request.urlopen(f"{address}/api/studies") as reply:
        return [study["study_name"] for study in json.load(reply)["study_summaries"]]


def test_before_the_first_study_it_shows_none_and_says_where(recipe, tmp_path):
    with dashboard(recipe, Lab(tmp_path)) as (address, printed):
        assert study_names(address) == []
    assert printed == f"studies: {address}, until Ctrl-C\n"


def test_the_database_s_password_is_on_no_command_line_and_is_not_printed(recipe, tmp_path):
    bins = programs() or pytest.skip("no PostgreSQL: apt-get install postgresql")
    with postgres(bins, **QUICK) as database:
        lab = Lab(tmp_path, database)
        optuna.create_study(storage=open_storage(lab), study_name="one")
        with dashboard(recipe, lab) as (address, printed):
            assert study_names(address) == ["one"]
            seen = command_lines()
    assert any("glioseg.mlops.tuning.dashboard" in command for command in seen)
    assert address in printed
    for secret in (PASSWORD, quote(PASSWORD, safe="")):
        assert secret not in "".join([*seen, printed])


def test_a_port_that_is_taken_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(SystemExit, match=f"^studies: 127.0.0.1, port {port}: Address already in use$"):
            main([str(port)])


@pytest.mark.parametrize("words", [[], ["eighty"], ["80", "81"]])
def test_anything_but_one_port_is_refused(words):
    with pytest.raises(SystemExit, match="expected a port, got"):
        main(words)

"""Functions in isolated processes: their environment, their errors, and their end with the parent process."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from glioseg.compute import ClusterError
from glioseg.compute.isolated import run_isolated
from glioseg.core.errors import GliosegError
from tests.helpers.clusters import SETTINGS, until
from tests.helpers.waiting import TIMEOUT_S

STARTER = """
import sys
from functools import partial
from pathlib import Path
from glioseg.compute.isolated import run_isolated
from tests.compute import test_isolated
run_isolated(partial(getattr(test_isolated, sys.argv[2]), Path(sys.argv[1])), variables={})
"""


def note(file: Path) -> None:
    file.write_text(f"{os.getpid()} {os.environ['WORD']} {Path.cwd()}")


def refuse(text: str) -> None:
    raise GliosegError(text)


def fail() -> None:
    np.zeros(2) + np.zeros(3)  # ValueError: operands could not be broadcast together


def wait(file: Path) -> None:
    """Write the id of this process, then that it was interrupted."""
    try:
        file.write_text(f"{os.getpid()}\n")
        time.sleep(2 * TIMEOUT_S)
    except KeyboardInterrupt:
        file.write_text("interrupted")
        raise


def ignore_first_interrupt(file: Path) -> None:
    """Wait twice, so that the first interrupt has no effect."""
    vars(sys.modules["__main__"])["REPEAT_INTERRUPT_S"] = 0.2
    with suppress(KeyboardInterrupt):
        wait(file.with_name("first"))
    wait(file)


@pytest.fixture(autouse=True)
def tests_can_be_imported(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", SETTINGS["PYTHONPATH"])


def test_it_runs_in_a_new_process_in_the_same_folder_with_the_variables(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_isolated(partial(note, tmp_path / "note"), variables={"WORD": "given"})
    process, word, folder = (tmp_path / "note").read_text().split(" ", 2)
    assert int(process) != os.getpid()
    assert (word, folder) == ("given", str(tmp_path))


def test_an_error_that_a_user_can_fix_is_one_line():
    with pytest.raises(ClusterError, match=r"^expected 1, got 2$"):
        run_isolated(partial(refuse, "expected 1, got 2"), variables={})


def test_a_bug_is_raised_with_its_traceback():
    with pytest.raises(RuntimeError, match=r"(?s)Traceback.* in fail\n.*ValueError: operands could not be"):
        run_isolated(fail, variables={})


def test_a_killed_process_is_a_cluster_error():
    with pytest.raises(ClusterError, match=r"^the process was killed$"):
        run_isolated(partial(signal.raise_signal, signal.SIGKILL), variables={})


@pytest.mark.parametrize(("function", "started"), [("wait", "waits"), ("ignore_first_interrupt", "first")])
def test_it_is_interrupted_when_the_process_that_started_it_is_killed(tmp_path, function, started):
    file, first = tmp_path / "waits", tmp_path / started
    with subprocess.Popen([sys.executable, "-c", STARTER, str(file), function], env=SETTINGS) as starter:
        until(lambda: first.exists() and first.read_text().endswith("\n"), "the function")
        starter.kill()
    until(lambda: file.exists() and file.read_text() == "interrupted", "an interrupt")

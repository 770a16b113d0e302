"""Work in a process beside a worker: what it finds, what it says, and that it ends with who started it."""

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
from glioseg.compute.isolated import run_apart
from glioseg.core.errors import GliosegError
from tests.helpers.clusters import SETTINGS, until
from tests.helpers.waiting import LATEST_S

STARTER = """
import sys
from functools import partial
from pathlib import Path
from glioseg.compute.isolated import run_apart
from tests import test_apart
run_apart(partial(getattr(test_apart, sys.argv[2]), Path(sys.argv[1])), variables={})
"""


def note(file: Path) -> None:
    file.write_text(f"{os.getpid()} {os.environ['WORD']} {Path.cwd()}")


def refuse(text: str) -> None:
    raise GliosegError(text)


def fail() -> None:
    np.zeros(2) + np.zeros(3)  # ValueError: operands could not be broadcast together


def wait(file: Path) -> None:
    """Say who waits, and what ended the waiting."""
    try:
        file.write_text(f"{os.getpid()}\n")
        time.sleep(2 * LATEST_S)
    except KeyboardInterrupt:
        file.write_text("interrupted")
        raise


def lose_one(file: Path) -> None:
    """Wait twice: the first interrupt is lost."""
    vars(sys.modules["__main__"])["AGAIN_S"] = 0.2
    with suppress(KeyboardInterrupt):
        wait(file.with_name("first"))
    wait(file)


@pytest.fixture(autouse=True)
def tests_can_be_imported(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", SETTINGS["PYTHONPATH"])


def test_it_has_a_process_of_its_own_the_same_folder_and_what_it_is_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_apart(partial(note, tmp_path / "note"), variables={"WORD": "given"})
    process, word, folder = (tmp_path / "note").read_text().split(" ", 2)
    assert int(process) != os.getpid()
    assert (word, folder) == ("given", str(tmp_path))


def test_what_a_user_can_mend_is_one_line():
    with pytest.raises(ClusterError, match=r"^expected 1, got 2$"):
        run_apart(partial(refuse, "expected 1, got 2"), variables={})


def test_a_bug_is_said_with_its_traceback():
    with pytest.raises(RuntimeError, match=r"(?s)Traceback.* in fail\n.*ValueError: operands could not be"):
        run_apart(fail, variables={})


def test_a_killed_one_is_said():
    with pytest.raises(ClusterError, match=r"^the process was killed$"):
        run_apart(partial(signal.raise_signal, signal.SIGKILL), variables={})


@pytest.mark.parametrize(("work", "begun"), [("wait", "waits"), ("lose_one", "first")])
def test_it_is_interrupted_when_the_process_that_started_it_is_killed(tmp_path, work, begun):
    file, first = tmp_path / "waits", tmp_path / begun
    with subprocess.Popen([sys.executable, "-c", STARTER, str(file), work], env=SETTINGS) as starter:
        until(lambda: first.exists() and first.read_text().endswith("\n"), "the work")
        starter.kill()
    until(lambda: file.exists() and file.read_text() == "interrupted", "an interrupt")

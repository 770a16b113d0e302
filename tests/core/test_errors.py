"""Errors that a user can fix end a command or a stage with one line; bugs show their traceback."""

import errno
import os
import pkgutil
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import glioseg
from _stage import BEST, tuned_params
from glioseg.cli import app
from glioseg.compute.local import _InterruptedError
from glioseg.core.entry import InterruptedExit
from glioseg.core.errors import GliosegError, one_line_errors
from tests.helpers.projects import ROOT

SETTINGS = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT / "pipelines")])}

CONTROL_FLOW: tuple[type[BaseException], ...] = (InterruptedExit, _InterruptedError)
"""Exceptions of glioseg that end a process after Ctrl-C."""

COMMANDS = {
    "preset": (["demo"], "glioseg.cli.project", "apply_preset"),
    "predict": ([".", "-o", "out"], "glioseg.cli.predict", "search_folder"),
    "evaluate": (["out", "truth"], "glioseg.cli.evaluate", "find_pairs"),
    "rollback": ([], "glioseg.cli.registry", "load_params"),
    "tune-worker": ([], "glioseg.cli.tune_worker", "load_params"),
    "forecast": ([], "glioseg.cli.forecast", "load_params"),
    "relocate": ([], "glioseg.cli.project", "relocate_storage"),
    "report": ([], "glioseg.mlops.tracking.mlflow_runs", "connect"),
    "lineage": (["models:/glioseg/1"], "glioseg.mlops.tracking.mlflow_runs", "connect"),
    "reproduce": (["models:/glioseg/1"], "glioseg.mlops.tracking.mlflow_runs", "connect"),
    "prune-runs": ([], "glioseg.mlops.tracking.mlflow_runs", "connect"),
    "serve": ([], "glioseg.cli.serve", "take_port"),
}
"""All commands: their arguments, and the module and name of a function that they call."""

GONE = FileNotFoundError(errno.ENOENT, "No such file or directory", "scan.nii.gz")
FULL = OSError(errno.ENOSPC, "No space left on device")
USER_ERRORS = {
    "case: expected 3 axes, got 2": GliosegError("case: expected 3 axes, got 2"),
    "[Errno 2] No such file or directory: 'scan.nii.gz'": GONE,
    "[Errno 28] No space left on device": FULL,
    "[('scan', 'copy', 'Permission denied')]": shutil.Error([("scan", "copy", "Permission denied")]),
}


def bug(*_: object, **__: object) -> None:
    np.zeros(2) + np.zeros(3)  # ValueError: operands could not be broadcast together


def test_all_exception_classes_derive_from_glioseg_error():
    modules = [import_module(found.name) for found in pkgutil.walk_packages(glioseg.__path__, "glioseg.")]
    defined = {
        each
        for module in modules
        for each in vars(module).values()
        if isinstance(each, type) and issubclass(each, BaseException) and each.__module__ == module.__name__
        if not issubclass(each, Warning)
    }
    assert len(defined) > 25
    others = [each for each in defined if not issubclass(each, GliosegError) and each not in CONTROL_FLOW]
    assert others == []


@pytest.mark.parametrize("message", USER_ERRORS)
def test_an_error_that_a_user_can_fix_is_one_line(message):
    with pytest.raises(SystemExit) as end, one_line_errors("glioseg"):
        raise USER_ERRORS[message]
    assert end.value.code == f"glioseg: {message}"
    with pytest.raises(SystemExit) as end, one_line_errors():
        raise USER_ERRORS[message]
    assert end.value.code == message


@pytest.mark.parametrize(
    "error", [ValueError("bug"), KeyError("bug"), RuntimeError("bug"), OSError("names no file")]
)
def test_all_other_errors_pass(error):
    with pytest.raises(type(error)) as passed, one_line_errors("glioseg", interrupt_message="stopped"):
        raise error
    assert passed.value is error


def chained(cause):
    """An error of a library that wraps another one."""
    try:
        try:
            raise cause
        except Exception as error:
            raise RuntimeError("the store failed\n(Background on this error at …)") from error
    except RuntimeError as error:
        return error


def full_database():
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("PRAGMA max_page_count = 1")
        try:
            connection.execute("CREATE TABLE a AS SELECT zeroblob(100000)")
        except sqlite3.OperationalError as error:
            return error


def sql_bug():
    with closing(sqlite3.connect(":memory:")) as connection:
        try:
            connection.execute("SELECT * FROM nothing")
        except sqlite3.OperationalError as error:
            return error


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (chained(FULL), "[Errno 28] No space left on device"),
        (chained(full_database()), "the database in mlruns failed: database or disk is full"),
        (full_database(), "the database in mlruns failed: database or disk is full"),
        (
            RuntimeError("write failed: errno = 28, error message = 'No space left on device'"),
            "No space left on device",
        ),
    ],
)
def test_a_full_disk_is_one_line_whatever_library_reports_it(error, line):
    with pytest.raises(SystemExit) as end, one_line_errors("train"):
        raise error
    assert end.value.code == f"train: {line}"


@pytest.mark.parametrize("error", [chained(ValueError("bug")), chained(sql_bug()), sql_bug()])
def test_a_bug_that_a_library_wraps_passes(error):
    with pytest.raises(type(error)) as passed, one_line_errors("train"):
        raise error
    assert passed.value is error


def test_an_interrupt_carries_the_message_of_its_line():
    """See test_entry.py for the line."""
    with (
        pytest.raises(KeyboardInterrupt, match=r"^stopped; go on$"),
        one_line_errors("x", interrupt_message="stopped; go on"),
    ):
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt, match=r"^1 of 2$"), one_line_errors("glioseg"):
        raise KeyboardInterrupt("1 of 2")


def test_an_error_that_ctrl_c_caused_is_reported_as_an_interrupt(monkeypatch):
    """E.g. a file that a compiled module could not read completely."""
    monkeypatch.setattr("glioseg.core.entry._interrupted", True)
    with (
        pytest.raises(KeyboardInterrupt, match=r"^stopped$"),
        one_line_errors("glioseg", interrupt_message="stopped"),
    ):
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", "scan.nii")


def test_all_commands_are_listed():
    names = {each.name or each.callback.__name__.replace("_", "-") for each in app.registered_commands}
    assert names == set(COMMANDS)


@pytest.fixture
def invoke(tmp_path, monkeypatch):
    """Run a command in a folder with an MLflow database, where a function that it calls raises an error."""
    (tmp_path / "mlruns").mkdir()
    (tmp_path / "mlruns/mlflow.db").touch()
    monkeypatch.chdir(tmp_path)

    def invoke(command, instead):
        words, module, name = COMMANDS[command]
        monkeypatch.setattr(import_module(module), name, instead)
        return CliRunner().invoke(app, [command, *words])

    return invoke


@pytest.mark.parametrize("command", COMMANDS)
def test_a_bug_in_a_command_shows_its_traceback(invoke, command):
    result = invoke(command, bug)
    assert isinstance(result.exception, ValueError)  # Python prints its traceback, and leaves with 1
    assert "could not be broadcast" in str(result.exception)
    assert (result.exit_code, result.output) == (1, "")


@pytest.mark.parametrize("message", USER_ERRORS)
@pytest.mark.parametrize("command", COMMANDS)
def test_an_error_that_a_user_can_fix_is_one_line_of_a_command(invoke, command, message):
    def fail(*_, **__):
        raise USER_ERRORS[message]

    result = invoke(command, fail)
    assert (result.exit_code, result.output) == (1, f"glioseg {command}: {message}\n")


STAGE = """
import numpy as np
from _stage import run
from glioseg.core.errors import GliosegError

def main():
    {}

run(main)
"""


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("raise GliosegError('case: expected 3 axes, got 2')", "-c: case: expected 3 axes, got 2\n"),
        ("open('scan.nii.gz')", "-c: [Errno 2] No such file or directory: 'scan.nii.gz'\n"),
    ],
)
def test_an_error_that_a_user_can_fix_is_one_line_of_a_stage(tmp_path, code, message):
    done = stage(tmp_path, code)
    assert (done.returncode, done.stderr) == (1, message)


def test_a_bug_in_a_stage_shows_its_traceback(tmp_path):
    done = stage(tmp_path, "np.zeros(2) + np.zeros(3)")
    first, *_, last = done.stderr.splitlines()
    assert (done.returncode, first) == (1, "Traceback (most recent call last):")
    assert last.startswith("ValueError: operands could not be broadcast")


@pytest.mark.parametrize(
    ("best", "message"),
    [
        ('{"depth": 1}', "depth: Input should be greater than or equal to 2"),
        ("{", "not JSON: "),
        (b"\xff", "not JSON: "),
    ],
)
def test_invalid_best_values_are_named(tmp_path, monkeypatch, best, message):
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    BEST.parent.mkdir(parents=True)
    BEST.write_bytes(best if isinstance(best, bytes) else best.encode())
    with pytest.raises(GliosegError, match=f"^{BEST}: {message}"):
        tuned_params()


def stage(folder: Path, code: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", STAGE.format(code)]
    return subprocess.run(command, cwd=folder, env=SETTINGS, capture_output=True, text=True, check=False)

"""Start and end of commands and stages: rejected on Windows, and ended by Ctrl-C with one line."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from glioseg import cli
from tests.helpers.clusters import SETTINGS
from tests.helpers.projects import ROOT

STAGES = sorted(file.name for file in (ROOT / "pipelines").glob("[a-z]*.py"))
WINDOWS = """
import json, runpy, shutil, sys, threading
from importlib import import_module
from pathlib import Path
sys.platform = "win32"
sys.modules["fcntl"] = sys.modules["resource"] = None
"""
REJECTED = (
    "glioseg runs on Linux and macOS; on Windows use WSL: https://learn.microsoft.com/windows/wsl/install\n"
)


def python(code: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], env=SETTINGS, cwd=cwd, capture_output=True, text=True)


@pytest.mark.parametrize(
    "entry",
    [
        "from glioseg.cli import app; app()",
        "from glioseg.__main__ import main; main()",
        *(
            f"runpy.run_module('{name}', run_name='__main__')"
            for name in (
                "glioseg",
                "glioseg.mlops.tracking.storage",
                "glioseg.mlops.tracking.mlflow_locations",
            )
        ),
        *(f"runpy.run_path('pipelines/{name}', run_name='__main__')" for name in STAGES),
    ],
)
def test_on_windows_each_entry_point_ends_with_a_line_that_names_wsl(entry):
    done = python(f"{WINDOWS}sys.path.insert(0, 'pipelines')\n{entry}")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", REJECTED)


@pytest.mark.parametrize(("message", "line"), [("", "stopped"), ("stopped: 1 of 2", "stopped: 1 of 2")])
def test_a_command_that_ctrl_c_ends_prints_one_line(monkeypatch, message, line):
    def stop(name):
        raise KeyboardInterrupt(message)

    monkeypatch.setattr(sys.modules["glioseg.cli.project"], "apply_preset", stop)
    done = CliRunner().invoke(cli.app, ["preset", "demo"])
    assert (done.exit_code, done.stdout, done.stderr) == (130, "", f"glioseg preset: {line}\n")


MAIN = """
import os, signal, sys, threading, time, types
from glioseg.__main__ import main
signal.signal(signal.SIGINT, signal.default_int_handler)  # a test that runs in the background ignores it
def app():
    {body}
sys.modules["glioseg.cli"] = types.SimpleNamespace(app=app)
main()
"""
INTERRUPT = "os.kill(os.getpid(), signal.SIGINT)"


@pytest.mark.parametrize(
    "body",
    [
        INTERRUPT,
        f"exec('{INTERRUPT}')",  # here Python would end with a signal, not with an exit code
        f"""
    try:
        {INTERRUPT}
    except KeyboardInterrupt:
        raise ImportError("expected a package, got none") from None""",  # some compiled modules do this
        f"""
    class Temporary:
        def __del__(self):
            {INTERRUPT}
    Temporary()  # Python prints and ignores errors in destructors
    time.sleep(600)""",
        f"""
    try:
        {INTERRUPT}
    finally:
        import logging; logging.error("a cursor cannot be closed")""",  # libraries log what it breaks off
        f"threading.Thread(target=time.sleep, args=[600]).start(); {INTERRUPT}",
        f"import atexit; atexit.register(print, 'cleaned up'); {INTERRUPT}",
    ],
)
def test_ctrl_c_ends_any_code_with_one_line_and_one_exit_code(body):
    done = python(MAIN.format(body=body))
    assert (done.returncode, done.stderr) == (130, "glioseg: stopped\n")
    assert done.stdout == ("cleaned up\n" if "cleaned up" in body else "")


def test_an_error_without_ctrl_c_keeps_its_traceback():
    done = python(MAIN.format(body="raise ImportError('expected a package, got none')"))
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback")


def test_a_process_that_ignores_ctrl_c_keeps_ignoring_it():
    """E.g. one that a script starts in the background."""
    ignored = MAIN.replace("signal.default_int_handler", "signal.SIG_IGN")
    done = python(ignored.format(body=f"{INTERRUPT}; print('continued')"))
    assert (done.returncode, done.stdout) == (0, "continued\n")

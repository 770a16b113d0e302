"""What `make` does with a .venv that was made in another folder; nothing is installed."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose .venv is newer than its lock file, as after `make`."""
    home = tmp_path / "my project"
    (home / ".venv").mkdir(parents=True)
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, home / name)
        os.utime(home / name, (0, 0))
    (home / ".venv" / ".ready").write_text(f"{home}\n")
    return home


def would_do(home: Path, word: str) -> str:
    words = ["make", "-n", "-C", str(home), word]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("word", ["ui", "repro", "relocate"])
def test_the_programs_of_a_moved_project_are_made_anew(project: Path, word: str) -> None:
    assert "-m venv" not in would_do(project, word)
    moved = project.rename(project.with_name("another project"))
    assert "-m venv --clear .venv" in would_do(moved, word)


@pytest.mark.parametrize(("word", "server"), [("ui", "mlflow ui"), ("serve", "glioseg serve")])
def test_servers_look_first_whether_the_runs_were_moved_too(project: Path, word: str, server: str) -> None:
    done = would_do(project, word)
    assert 0 <= done.index("glioseg.mlops.tracking.mlflow_locations") < done.index(server)

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


def make(home: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), **variables}
    command = ["make", "-C", str(home), "--no-print-directory", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def would_do(home: Path, word: str) -> str:
    words = ["make", "-n", "-C", str(home), word]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("word", ["ui", "repro", "relocate"])
def test_the_programs_of_a_moved_project_are_made_anew(project: Path, word: str) -> None:
    assert "-m venv" not in would_do(project, word)
    moved = project.rename(project.with_name("another project"))
    assert "-m venv --clear .venv" in would_do(moved, word)


@pytest.mark.parametrize(
    ("word", "server"), [("ui", "tracking.mlflow_page 5000"), ("serve", "glioseg serve")]
)
def test_servers_look_first_whether_the_runs_were_moved_too(project: Path, word: str, server: str) -> None:
    done = would_do(project, word)
    assert 0 <= done.index("glioseg.mlops.tracking.mlflow_locations") < done.index(server)


@pytest.mark.parametrize(
    ("word", "command"),
    [
        ("ui", "tracking.mlflow_page 8099"),
        ("studies", "tuning.dashboard 8099"),
        ("serve", "serve --port 8099"),
    ],
)
def test_the_port_of_each_page_can_be_set(project: Path, word: str, command: str) -> None:
    assert make(project, "-n", word, "PORT=8099").stdout.rstrip().endswith(command)


def test_a_folder_without_repository_is_refused_before_anything_is_installed(project: Path) -> None:
    (project / ".venv" / ".ready").unlink()
    done = make(project, "repro", GIT_CEILING_DIRECTORIES=str(project.parent))
    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == (
        "make repro: DVC needs a git repository with a commit; clone glioseg, or run:"
        " git init && git add --all && git commit -m glioseg"
    )
    assert not (project / ".venv" / "bin").exists()
    subprocess.run(["git", "init", "-q", project], check=True)
    assert make(project, "repository").returncode == 2
    words = [
        "-c",
        "user.name=n",
        "-c",
        "user.email=e@example.org",
        "commit",
        "-q",
        "--allow-empty",
        "-m",
        "one",
    ]
    subprocess.run(["git", "-C", project, *words], check=True)
    assert make(project, "repository").returncode == 0


def test_a_repository_of_another_user_is_refused_with_the_command_that_helps(project: Path) -> None:
    subprocess.run(["git", "init", "-q", project], check=True)
    done = make(project, "repository", GIT_TEST_ASSUME_DIFFERENT_OWNER="1")
    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == (
        "make repro: another user owns this folder, so git does not read it;"
        f" run: git config --global --add safe.directory '{project}'"
    )

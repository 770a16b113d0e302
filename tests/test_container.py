"""The container image: checked by a linter, and built and run where Docker or Podman runs."""

import re
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

from glioseg.models import builtin
from tests.helpers.projects import ROOT
from tests.test_package import SEGMENT

DOCKERFILE = (ROOT / "Dockerfile").read_text()
HADOLINT = Path(sysconfig.get_path("scripts")) / "hadolint"


def values(instruction):
    """The values of all instructions of a kind in the last stage."""
    stage = DOCKERFILE[DOCKERFILE.rindex("\nFROM ") :]
    return re.findall(rf"(?m)^{instruction} (.*)$", stage)


def test_the_linter_finds_nothing():
    done = subprocess.run([HADOLINT, ROOT / "Dockerfile"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_command_runs_as_a_numbered_user_who_is_not_root():
    """Kubernetes' runAsNonRoot accepts a number only."""
    (user,) = values("USER")
    assert int(user.partition(":")[0]) > 0
    assert values("ENTRYPOINT") == ['["glioseg"]']


def test_all_copied_files_exist_and_reach_the_build():
    """.dockerignore excludes everything, and then names exceptions."""
    copied = {
        name for names in re.findall(r"(?m)^COPY (?!--from)(.*) \S+$", DOCKERFILE) for name in names.split()
    }
    first, *exceptions, _ = [
        line for line in (ROOT / ".dockerignore").read_text().splitlines() if line[0] != "#"
    ]
    assert first == "*"
    assert {line.removeprefix("!") for line in exceptions} == copied
    assert [name for name in copied if not (ROOT / name).exists()] == []


def engine():
    """The first container engine that runs, or None."""
    for name in ("docker", "podman"):
        if shutil.which(name) and subprocess.run([name, "info"], capture_output=True).returncode == 0:
            return name
    return None


@pytest.fixture(scope="module")
def image():
    """A function that runs a program of the image, and returns its output."""
    found = engine()
    if found is None:
        pytest.skip("no container engine runs here")
    subprocess.run(["make", "image", f"ENGINE={found}"], cwd=ROOT, check=True)

    def run(*words, entrypoint="glioseg"):
        command = [found, "run", "--rm", "--network=none", f"--entrypoint={entrypoint}", "glioseg", *words]
        return subprocess.run(command, capture_output=True, text=True, check=True)

    yield run
    subprocess.run([found, "image", "rm", "--force", "glioseg"], check=True)


def test_the_image_segments_as_an_ordinary_user(image):
    assert image("--version").stdout.startswith("glioseg ")
    assert image("-u", entrypoint="id").stdout == "1000\n"
    segmented = image("-c", SEGMENT, entrypoint="python")
    assert segmented.stdout.split()[0].endswith(str(builtin.FOLDER.relative_to(ROOT / "src")))
    assert segmented.stderr == ""

"""The wheel and the source distribution: what is in them, and that an installed wheel segments."""

import os
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path, PurePosixPath

import pytest

from glioseg.models import builtin
from tests.helpers.extras import WITHOUT_EXTRAS
from tests.helpers.projects import ROOT

SEGMENT = """
import sys
import numpy as np
from glioseg.core.modalities import MODALITIES
from glioseg.core.nifti import Grid, Volume
from glioseg.models import builtin
from glioseg.models.inference.loading import load_model
data = np.random.default_rng(0).integers(1, 100, (16, 16, 16), np.int16)
scan = Volume(data, Grid((16, 16, 16), np.diag([-1.0, -1.0, 1.0, 1.0])))
prediction = load_model(builtin.builtin_model()).predict(dict.fromkeys(MODALITIES, scan))
print(builtin.FOLDER, prediction.labels.shape)
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A folder with the wheel and the source distribution."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-d", folder], cwd=ROOT, check=True)
    return folder


@pytest.fixture(scope="module")
def wheel(built):
    (file,) = built.glob("glioseg-*-py3-none-any.whl")
    return file


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A folder with the installed wheel; its dependencies come from the environment of the tests."""
    folder = tmp_path_factory.mktemp("site")
    command = ["uv", "pip", "install", "--quiet", "--offline", "--no-deps", "--target", folder, wheel]
    subprocess.run([sys.executable, "-m", *command], check=True)
    return folder


def python(installed, *words):
    """Run Python with the installed wheel in an empty folder."""
    empty = installed.with_name(f"{installed.name}-empty")
    empty.mkdir(exist_ok=True)
    environment = os.environ | {"PYTHONPATH": str(installed)}
    return subprocess.run(
        [sys.executable, *words], cwd=empty, env=environment, capture_output=True, text=True, check=True
    )


def in_wheel(wheel):
    return {PurePosixPath(name) for name in zipfile.ZipFile(wheel).namelist()}


def in_sdist(built):
    (file,) = built.glob("glioseg-*.tar.gz")
    with tarfile.open(file) as content:
        return {PurePosixPath(*PurePosixPath(name).parts[1:]) for name in content.getnames()}


def package_files():
    """All files of the package that git tracks."""
    done = subprocess.run(["git", "ls-files", "src/glioseg"], cwd=ROOT, capture_output=True, check=True)
    return {PurePosixPath(name).relative_to("src") for name in done.stdout.decode().splitlines()}


def test_the_wheel_is_the_package_and_its_metadata(wheel):
    files = in_wheel(wheel)
    assert {file for file in files if file.parts[0] == "glioseg"} >= package_files()
    others = {file for file in files if file.parts[0] != "glioseg"}
    assert {file.name for file in others} == {"LICENSE", "METADATA", "RECORD", "WHEEL", "entry_points.txt"}


def test_the_wheel_has_the_weights_and_the_licences(wheel):
    folder = Path(builtin.FOLDER).relative_to(ROOT / "src")
    with zipfile.ZipFile(wheel) as content:
        for name in ("model.keras", "LICENSE", "SHA256SUMS"):
            assert content.read(str(folder / name)) == (builtin.FOLDER / name).read_bytes()
        (licence,) = [name for name in content.namelist() if name.endswith("dist-info/licenses/LICENSE")]
        assert content.read(licence) == (ROOT / "LICENSE").read_bytes()


def test_the_source_distribution_builds_the_same_package_and_has_no_tests(built):
    files = in_sdist(built)
    assert {PurePosixPath("src") / file for file in package_files()} <= files
    top = {file.parts[0] for file in files if file.parts}
    assert top == {".gitignore", "CHANGELOG.md", "LICENSE", "PKG-INFO", "README.md", "pyproject.toml", "src"}


def test_pypi_would_accept_both(built):
    command = ["twine", "check", "--strict", *map(str, built.iterdir())]
    done = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("PASSED") == 2


def test_the_installed_command_prints_the_version_of_the_wheel(wheel, installed):
    with zipfile.ZipFile(wheel) as content:
        (metadata,) = [name for name in content.namelist() if name.endswith("dist-info/METADATA")]
        version = Parser().parsestr(content.read(metadata).decode())["Version"]
    assert python(installed, "-m", "glioseg", "--version").stdout == f"glioseg {version}\n"
    assert (installed / "bin" / "glioseg").is_file()


def test_the_installed_model_segments_without_the_packages_of_extras(installed):
    done = python(installed, "-c", WITHOUT_EXTRAS + SEGMENT)
    folder = installed / Path(builtin.FOLDER).relative_to(ROOT / "src")
    assert (done.stdout, done.stderr) == (f"{folder} (16, 16, 16)\n", "")

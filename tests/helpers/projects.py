"""Small projects for tests of the pipeline: a copy, a small cohort, and a network that trains in seconds."""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import yaml

from glioseg.core.modalities import MODALITIES
from glioseg.core.nifti import Grid, Volume, write_volume

ROOT = Path(__file__).parents[2]
SHAPE = (40, 36, 32)
COMMAND_S = 1800.0
"""Timeout of a command; `dvc repro` takes two minutes on two idle cores."""
GRID = Grid(SHAPE, np.array([[-1, 0, 0, 0], [0, -1, 0, 35], [0, 0, 1, 0], [0, 0, 0, 1]], float))
TINY = {
    "network": {"base_filters": 2, "depth": 2},
    "train": {"epochs": 2, "steps_per_epoch": 3, "patch_shape": [16, 16, 16], "precision": "float32"},
    "tune": {"trials": 2, "epochs": 1, "steps_per_epoch": 2, "space": {"dropout": {"low": 0.0, "high": 0.3}}},
    "evaluate": {"bootstrap_samples": 50},
    "compute": {"cluster": "threads"},  # a process takes longer to start than these cases take
    # Tiny networks are not calibrated: without limits, there is a champion.
    # The built-in model takes a minute, and would be an additional version.
    "register": {"builtin": False, "limits": {"calibration_error": None, "case_s": None, "memory_gb": None}},
}
CONTRACT = {"shape": {"voxels": list(SHAPE)}, "brain_fraction": {"high": 1.0}}
FILES = (
    "dvc.yaml",
    "requirements.lock",
    ".dvcignore",
    ".dvc/config",
    ".dvc/.gitignore",
    ".gitignore",
    "docs/offline_plots.py",
)


def write_case(folder: Path, index: int) -> None:
    """Write a case: a ball of brain that contains a tumour of oedema around enhancement around necrosis."""
    rng = np.random.default_rng(index)
    place = np.stack(np.indices(SHAPE), axis=-1)
    brain = np.linalg.norm(place - np.array(SHAPE) / 2, axis=-1) < 14
    from_tumour = np.linalg.norm(place - np.array(SHAPE) / 2 - rng.integers(-4, 5, 3), axis=-1)
    labels = np.select([from_tumour < 2, from_tumour < 4, from_tumour < 6], [1, 4, 2], 0).astype(np.uint8)
    name = f"Patient {index}"
    for modality in MODALITIES:
        image = 100 + 40 * labels + rng.normal(0, 5, SHAPE)
        if modality == "t1ce":
            image += 60 * (labels == 4)  # enhancing tumour brightens, as rule `label_scheme` expects
        image = np.where(brain, np.maximum(image, 1), 0).astype(np.int16)
        write_volume(folder / name / f"{name}_{modality}.nii.gz", Volume(image, GRID))
    write_volume(folder / name / f"{name}_seg.nii.gz", Volume(labels, GRID))


def make_project(home: Path, *, cases: int) -> Path:
    """A copy of the project with a small cohort in `scans`, in its own git repository."""
    for name in ("src", "pipelines"):
        shutil.copytree(ROOT / name, home / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        (home / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, home / name)
    for index in range(cases):
        write_case(home / "scans", index)
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["data"] = {"source": "folder", "folder": "scans"}
    for section, values in TINY.items():
        params[section] |= values
    (home / "params.yaml").write_text(yaml.safe_dump(params))
    (home / "contract.yaml").write_text(yaml.safe_dump(CONTRACT))
    subprocess.run(["git", "init", "-q"], cwd=home, check=True)
    return configure_repository(home)


def make_once(folder: Path, make: Callable[[Path], Path]) -> Path:
    """The result of `make` for a folder; the first process calls it, and the others wait.

    If it fails, it fails for all processes with the same message, and is not tried again.
    """
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made, failed = folder.with_suffix(".made"), folder.with_suffix(".failed")
        if failed.exists():
            raise RuntimeError(failed.read_text())
        if not made.exists():
            try:
                made.write_text(str(make(folder)))
            except BaseException as error:
                failed.write_text(f"{type(error).__name__}: {error}")
                raise
        return Path(made.read_text())


def reproduce_tiny_project(folder: Path) -> Path:
    """A project in which `dvc repro` has run; see the fixture `reproduced`."""
    home = make_project(folder / "a project", cases=8)
    shutil.copytree(home / "scans", folder / "scans")
    succeed(home, "dvc", "remote", "add", "--default", "store", "../store")
    commit(home, "A tiny project")
    succeed(home, "dvc", "repro")
    commit(home, "A first version")
    succeed(home, "dvc", "push")
    return home


def clone_project(source: Path, home: Path) -> Path:
    """A clone of the last commit of a project, without its data."""
    subprocess.run(["git", "clone", "-q", source, home], check=True)
    return configure_repository(home)


def configure_repository(home: Path) -> Path:
    """Set the author of commits, and exclude files that do not belong to the project."""
    for key, value in {"name": "A. Reader", "email": "reader@example.org"}.items():
        subprocess.run(["git", "config", f"user.{key}", value], cwd=home, check=True)
    (home / ".git" / "info" / "exclude").write_text("/scans/\n/.cache/\n/.config/\n/.keras/\n")
    return home


def commit(home: Path, message: str) -> None:
    """Commit all that changed."""
    succeed(home, "git", "add", "--all")
    succeed(home, "git", "commit", "-q", "-m", message)


def succeed(home: Path, *words: str, **variables: str) -> str:
    """Run a command in a project, which must succeed; returns its stdout."""
    result = command(home, *words, **variables)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def command(home: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a project with PATH and `variables`, but nothing else of this environment."""
    complete = environment(home) | variables
    return subprocess.run(
        words, cwd=home, env=complete, capture_output=True, text=True, check=False, timeout=COMMAND_S
    )


def environment(home: Path) -> dict[str, str]:
    """The environment variables of commands in a project."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    python = {"PYTHONPATH": str(home / "src"), "MLFLOW_DISABLE_TELEMETRY": "true"}
    return {"PATH": path, "HOME": str(home), **python}

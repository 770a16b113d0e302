"""Small projects of their own for tests of the whole pipeline: a clone, a cohort and a network of seconds."""

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
"""Ends a command that hangs: `dvc repro` takes two minutes on two idle cores."""
GRID = Grid(SHAPE, np.array([[-1, 0, 0, 0], [0, -1, 0, 35], [0, 0, 1, 0], [0, 0, 0, 1]], float))
TINY = {
    "network": {"base_filters": 2, "depth": 2},
    "train": {"epochs": 2, "steps_per_epoch": 3, "patch_shape": [16, 16, 16], "precision": "float32"},
    "tune": {"trials": 2, "epochs": 1, "steps_per_epoch": 2, "space": {"dropout": {"low": 0.0, "high": 0.3}}},
    "evaluate": {"bootstrap_samples": 50},
    "compute": {"cluster": "threads"},  # a process takes longer to start than these cases take
    # Networks of seconds are not calibrated: no limit, so that there is a champion to look at.
    # The built-in model takes a minute, and tests have their own versions in mind.
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


def write_patient(folder: Path, index: int) -> None:
    """A ball of brain with a ball of tumour in it: oedema around enhancement around necrosis."""
    rng = np.random.default_rng(index)
    place = np.stack(np.indices(SHAPE), axis=-1)
    brain = np.linalg.norm(place - np.array(SHAPE) / 2, axis=-1) < 14
    from_tumour = np.linalg.norm(place - np.array(SHAPE) / 2 - rng.integers(-4, 5, 3), axis=-1)
    labels = np.select([from_tumour < 2, from_tumour < 4, from_tumour < 6], [1, 4, 2], 0).astype(np.uint8)
    name = f"Patient {index}"
    for modality in MODALITIES:
        image = 100 + 40 * labels + rng.normal(0, 5, SHAPE)
        image = np.where(brain, np.maximum(image, 1), 0).astype(np.int16)
        write_volume(folder / name / f"{name}_{modality}.nii.gz", Volume(image, GRID))
    write_volume(folder / name / f"{name}_seg.nii.gz", Volume(labels, GRID))


def make_project(home: Path, *, cases: int) -> Path:
    """A clone of the project with a small cohort in `scans`, in a git repository of its own."""
    for name in ("src", "pipelines"):
        shutil.copytree(ROOT / name, home / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        (home / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, home / name)
    for index in range(cases):
        write_patient(home / "scans", index)
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["data"] = {"source": "folder", "folder": "scans"}
    for section, values in TINY.items():
        params[section] |= values
    (home / "params.yaml").write_text(yaml.safe_dump(params))
    (home / "contract.yaml").write_text(yaml.safe_dump(CONTRACT))
    subprocess.run(["git", "init", "-q"], cwd=home, check=True)
    return settle_in(home)


def make_once(folder: Path, make: Callable[[Path], Path]) -> Path:
    """What `make` returns for a folder, made by the first process that asks; the others wait.

    Where it fails, it fails for all of them with the first one's words, and is not tried again.
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
    """A project that `dvc repro` has run in; see the fixture `reproduced`."""
    home = make_project(folder / "a project", cases=8)
    shutil.copytree(home / "scans", folder / "scans")
    succeed(home, "dvc", "remote", "add", "--default", "store", "../store")
    commit(home, "A tiny project")
    succeed(home, "dvc", "repro")
    commit(home, "A first version")
    succeed(home, "dvc", "push")
    return home


def clone_project(source: Path, home: Path) -> Path:
    """Another person's clone of a project's last commit; of the data nothing is there yet."""
    subprocess.run(["git", "clone", "-q", source, home], check=True)
    return settle_in(home)


def settle_in(home: Path) -> Path:
    """Give a repository's commits an author, and keep out of them what is not the project's."""
    for key, value in {"name": "A. Reader", "email": "reader@example.org"}.items():
        subprocess.run(["git", "config", f"user.{key}", value], cwd=home, check=True)
    (home / ".git" / "info" / "exclude").write_text("/scans/\n/.cache/\n/.config/\n/.keras/\n")
    return home


def commit(home: Path, message: str) -> None:
    """Commit all that changed."""
    succeed(home, "git", "add", "--all")
    succeed(home, "git", "commit", "-q", "-m", message)


def succeed(home: Path, *words: str, **variables: str) -> str:
    """Run a command in a project, which must succeed; what it printed."""
    result = command(home, *words, **variables)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def command(home: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a project with nothing of this process's environment but the path, and `variables`."""
    around = environment(home) | variables
    return subprocess.run(
        words, cwd=home, env=around, capture_output=True, text=True, check=False, timeout=COMMAND_S
    )


def environment(home: Path) -> dict[str, str]:
    """What a project's commands find around them."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    python = {"PYTHONPATH": str(home / "src"), "MLFLOW_DISABLE_TELEMETRY": "true"}
    return {"PATH": path, "HOME": str(home), **python}

"""Facts about how things came to be, read from dvc.lock, git and files; never guessed.

What cannot be known is `UNKNOWN`: an invented link would be worse than a missing one.
"""

import hashlib
import json
import os
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glioseg.core.fingerprint import code_fingerprint, files_fingerprint
from glioseg.core.settings_file import ParamsError, parse_yaml
from glioseg.mlops.tracking.machine import machine
from glioseg.params.presets import preset_of

UNKNOWN = "unknown"
CROPPED = "data/cropped"
TRAINING = "glioseg.models.training.cross_validation"
"""The module that trains: with all that it imports, the code that decides a training's weights."""
METRICS = ("glioseg.evaluation.metrics", "glioseg.evaluation.calibration")
"""The modules that measure a case."""
TEST_FILES = "SHA-256 of the test cases' files"

SOURCE = (".", ":(exclude)dvc.lock", ":(exclude)reports/scores.json")
"""Git's name for all tracked files but those that the pipeline itself writes: they are results."""


@dataclass(frozen=True)
class Commit:
    """The git commit that is checked out; `dirty` says that tracked files of `SOURCE` differ from it."""

    sha: str
    dirty: bool


def commit(root: Path = Path()) -> Commit:
    """The commit of a work tree, or `UNKNOWN` where there is no git, repository or commit."""
    try:
        sha = git(root, "rev-parse", "HEAD").strip()
        return Commit(sha, dirty=bool(git(root, "status", "--porcelain", "-uno", "--", *SOURCE)))
    except (OSError, subprocess.CalledProcessError):
        return Commit(UNKNOWN, dirty=False)


def git(root: Path, *words: str) -> str:
    """What a git command prints in a work tree.

    Raises:
        OSError, CalledProcessError: there is no git, or it failed.
    """
    return git_bytes(root, *words).decode()


def git_bytes(root: Path, *words: str) -> bytes:
    """The same as bytes: a patch may hold a file of any encoding."""
    return subprocess.run(["git", "-C", str(root), *words], check=True, capture_output=True).stdout


def locked_hashes(root: Path = Path()) -> dict[str, str]:
    """DVC's hash of every out in dvc.lock, by path; a folder's ends in `.dir`."""
    outs = (out for stage in locked_stages(root).values() for out in stage.get("outs", ()))
    return {out["path"]: out["md5"] for out in outs if "md5" in out}


def locked_stages(root: Path = Path()) -> dict[str, Any]:
    """What dvc.lock says of each stage; nothing where there is none."""
    try:
        text = (root / "dvc.lock").read_text()
    except OSError:
        return {}
    lock = parse_yaml(text, root / "dvc.lock")
    stages: dict[str, Any] = lock.get("stages", {})
    return stages


def data_version(root: Path = Path()) -> str:
    """DVC's hash of the cropped cohort: what training, tuning and testing see."""
    return locked_hashes(root).get(CROPPED, UNKNOWN)


def md5(content: bytes) -> str:
    """DVC's hash of a file.

    >>> md5(b"")[:8]
    'd41d8cd9'
    """
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def dvc_hash(path: Path) -> str:
    """DVC's hash of a file, or of a folder with all its files, as dvc.lock would name it."""
    if not path.is_dir():
        return md5(path.read_bytes())
    files = {file.relative_to(path): file for file in path.rglob("*") if file.is_file()}
    entries = [
        {"md5": md5(file.read_bytes()), "relpath": name.as_posix()}
        for name, file in files.items()
        if "__pycache__" not in name.parts
    ]
    entries.sort(key=lambda entry: entry["relpath"])
    return f"{md5(json.dumps(entries, sort_keys=True).encode())}.dir"


def sha256(content: bytes) -> str:
    """Hexadecimal SHA-256.

    >>> sha256(b"")[:8]
    'e3b0c442'
    """
    return hashlib.sha256(content).hexdigest()


def metric_code() -> str:
    """The hash of the code that measures a case: only tables of the same state of it can be compared."""
    return code_fingerprint(*METRICS)


def training_key(settings: Mapping[str, object], folds: Sequence[Mapping[str, object]]) -> str:
    """What an interrupted training is found again by: a hash of all that its weights depend on."""
    facts = [settings, folds, data_version(), code_fingerprint(TRAINING)]
    return sha256(json.dumps(facts, sort_keys=True).encode())[:10]


def origin(files: Iterable[Path], cohort: Path, trained: Mapping[str, str]) -> dict[str, str]:
    """What an evaluation is of, in words for its report.

    Args:
        files: of the test cases.
        cohort: the folder that they lie in.
        trained: content of reports/calibrate/model.json.
    """
    return {
        "DVC's hash of data/cropped": data_version(),
        TEST_FILES: files_fingerprint(files, folder=cohort),
        "MLflow run that trained the model": trained["run_id"],
        "MLflow's name of the model": trained["model_id"],
    }


def tags(stage: str, root: Path = Path()) -> dict[str, str]:
    """What a run of this stage is tagged with, so that a person can tell runs apart.

    Args:
        stage: its name in dvc.yaml.
        root: the work tree that it runs in.
    """
    here, lock = commit(root), root / "requirements.lock"
    facts = {
        "stage": stage,
        "preset": _preset(root / "params.yaml"),
        "data_version": data_version(root),
        "git_commit": here.sha,
        "git_dirty": str(here.dirty).lower(),
        "environment": files_fingerprint([lock], folder=root) if lock.exists() else UNKNOWN,
        "machine": machine(),
    }
    name = os.environ.get("DVC_EXP_NAME")
    return facts | ({"dvc_experiment": name} if name else {})


def _preset(path: Path) -> str:
    try:
        return preset_of(path)
    except ParamsError:
        return UNKNOWN

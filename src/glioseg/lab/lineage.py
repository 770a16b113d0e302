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

import yaml

import glioseg
from glioseg.presets import preset_of
from glioseg.settings_file import ParamsError

UNKNOWN = "unknown"
CROPPED = "data/cropped"
TEST_FILES = "SHA-256 of the test cases' files"


@dataclass(frozen=True)
class Commit:
    """The git commit that is checked out; `dirty` says that tracked files differ from it."""

    sha: str
    dirty: bool


def commit(root: Path = Path()) -> Commit:
    """The commit of a work tree, or `UNKNOWN` where there is no git, repository or commit."""
    try:
        sha = _git(root, "rev-parse", "HEAD")
        return Commit(sha, dirty=bool(_git(root, "status", "--porcelain", "--untracked-files=no")))
    except (OSError, subprocess.CalledProcessError):
        return Commit(UNKNOWN, dirty=False)


def _git(root: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *words], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def locked_hashes(root: Path = Path()) -> dict[str, str]:
    """DVC's hash of every out in dvc.lock, by path; a folder's ends in `.dir`."""
    try:
        lock = yaml.load(
            (root / "dvc.lock").read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        )
    except OSError:
        return {}
    outs = (out for stage in lock.get("stages", {}).values() for out in stage.get("outs", ()))
    return {out["path"]: out["md5"] for out in outs if "md5" in out}


def data_version(root: Path = Path()) -> str:
    """DVC's hash of the cropped cohort: what training, tuning and testing see."""
    return locked_hashes(root).get(CROPPED, UNKNOWN)


def sha256(content: bytes) -> str:
    """Hexadecimal SHA-256.

    >>> sha256(b"")[:8]
    'e3b0c442'
    """
    return hashlib.sha256(content).hexdigest()


def sha256_files(paths: Iterable[Path]) -> str:
    """One hash over files: of their names and contents, whatever order they come in."""
    parts = sorted((path.name, sha256(path.read_bytes())) for path in paths)
    return sha256(repr(parts).encode())


def training_code() -> str:
    """One hash of all the code that a training's result depends on."""
    package = Path(glioseg.__file__).parent
    return sha256_files(path for room in ("nets", "data") for path in (package / room).rglob("*.py"))


def training_key(settings: Mapping[str, object], folds: Sequence[Mapping[str, object]]) -> str:
    """What an interrupted training is found again by: a hash of all that its weights depend on."""
    facts = [settings, folds, data_version(), training_code()]
    return sha256(json.dumps(facts, sort_keys=True).encode())[:10]


def origin(files: Iterable[Path], trained: Mapping[str, str]) -> dict[str, str]:
    """What an evaluation is of, in words for its report.

    Args:
        files: of the test cases.
        trained: content of reports/settle/model.json.
    """
    return {
        "DVC's hash of data/cropped": data_version(),
        TEST_FILES: sha256_files(files),
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
        "environment": sha256_files([lock]) if lock.exists() else UNKNOWN,
    }
    name = os.environ.get("DVC_EXP_NAME")
    return facts | ({"dvc_experiment": name} if name else {})


def _preset(path: Path) -> str:
    try:
        return preset_of(path)
    except ParamsError:
        return UNKNOWN

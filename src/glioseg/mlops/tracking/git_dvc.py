"""What git and dvc.lock record about the project: the commit, and DVC's hashes of all outs.

A value that cannot be determined is `UNKNOWN`: a wrong entry in a lineage would be worse than a missing one.
"""

import hashlib
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glioseg.core.environment import own_environment
from glioseg.params.settings_file import parse_yaml

UNKNOWN = "unknown"
CROPPED = "data/cropped"

SOURCE = (".", ":(exclude)dvc.lock", ":(exclude)reports/scores.json")
"""Git pathspecs of all tracked files except the results that the pipeline writes."""


@dataclass(frozen=True)
class Commit:
    """The git commit that is checked out; `dirty`: tracked files of `SOURCE` differ from it."""

    sha: str
    dirty: bool


def current_commit(root: Path = Path()) -> Commit:
    """The commit of a work tree; `UNKNOWN` without git, a repository or a commit."""
    try:
        sha = git_output(root, "rev-parse", "HEAD").strip()
        return Commit(sha, dirty=bool(git_output(root, "status", "--porcelain", "-uno", "--", *SOURCE)))
    except (OSError, subprocess.CalledProcessError):
        return Commit(UNKNOWN, dirty=False)


def why_no_commit(root: Path = Path()) -> str:
    """The reason why `current_commit` is `UNKNOWN`, with advice, in one line; empty if it is known."""
    try:
        git_output(root, "rev-parse", "--verify", "HEAD")
    except OSError:
        return "git is not installed"
    except subprocess.CalledProcessError as error:
        why: str = error.stderr.decode(errors="replace").partition("\n")[0]
        if "dubious ownership" not in why:
            return why
        return f"{why}; run: git config --global --add safe.directory '{root.resolve()}'"
    return ""


def git_output(root: Path, *words: str) -> str:
    """What a git command prints in a work tree.

    Raises:
        OSError, CalledProcessError: git is not installed, or the command failed.
    """
    return git_output_bytes(root, *words).decode()


def git_output_bytes(root: Path, *words: str) -> bytes:
    """The same as bytes: a patch may contain a file of any encoding."""
    words = ("git", "-C", str(root), *words)
    return subprocess.run(words, check=True, capture_output=True, env=own_environment()).stdout


def dvc_lock_hashes(root: Path = Path()) -> dict[str, str]:
    """DVC's hash of every out in dvc.lock, by path; the hash of a folder ends in `.dir`."""
    outs = (out for stage in dvc_lock_stages(root).values() for out in stage.get("outs", ()))
    return {out["path"]: out["md5"] for out in outs if "md5" in out}


def dvc_lock_stages(root: Path = Path()) -> dict[str, Any]:
    """The entry of each stage in dvc.lock; empty without that file."""
    try:
        text = (root / "dvc.lock").read_text()
    except OSError:
        return {}
    lock = parse_yaml(text, root / "dvc.lock")
    stages: dict[str, Any] = lock.get("stages", {})
    return stages


def data_version(root: Path = Path()) -> str:
    """DVC's hash of the cropped cohort, which training, tuning and testing read."""
    return dvc_lock_hashes(root).get(CROPPED, UNKNOWN)


def md5(content: bytes) -> str:
    """DVC's hash of a file's content.

    >>> md5(b"")[:8]
    'd41d8cd9'
    """
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def dvc_hash(path: Path) -> str:
    """DVC's hash of a file, or of a folder with all its files, as dvc.lock records it."""
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

"""What is known of how a model came to be, while its files still lie here: read, and never guessed."""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glioseg.core.errors import GliosegError
from glioseg.core.files import read_json, write_whole
from glioseg.core.fingerprint import files_fingerprint
from glioseg.core.settings_file import parse_yaml, read_text
from glioseg.data.cohort.cases import COHORT, read_cohort
from glioseg.mlops.tracking.fingerprints import SOURCE, UNKNOWN, commit, dvc_hash, git, locked_hashes, sha256
from glioseg.params.contract import CONTRACT

RECORD = "lineage.json"
LOCK = "requirements.lock"
CODE = ("src", "pipelines")

KEPT = {
    "dvc.lock": "dvc.lock",
    "dvc.yaml": "dvc.yaml",
    "params.yaml": "params.yaml",
    "contract.yaml": CONTRACT,
    "splits.json": "data/splits.json",
    "best_params.json": "reports/tune/best_params.json",
    "model.json": "reports/calibrate/model.json",
    "per_case.csv": "reports/per_case.csv",
    "metrics.json": "reports/metrics.json",
    "initial_weights.json": "models/initial_weights.json",
}
"""The small files that are kept with a version, and where each lies in a project."""
OPTIONAL = frozenset({"contract.yaml", "initial_weights.json"})
"""Those that a project may do without, and that versions of older projects lack."""


class MissingFactError(GliosegError):
    """A fact that is not known; the message says why."""


@dataclass(frozen=True)
class Record:
    """What is known, by name, and of what is not known, why.

    `files` are the SHA-256 of the files kept beside it.
    """

    facts: Mapping[str, Any]
    missing: Mapping[str, str]
    files: Mapping[str, str]

    def save(self, folder: Path) -> None:
        """Write it beside the files that it names."""
        content = {"facts": self.facts, "missing": self.missing, "files": self.files}
        write_whole(folder / RECORD, json.dumps(content, indent=1).encode() + b"\n")

    @classmethod
    def load(cls, folder: Path) -> "Record":
        """Read what `save` wrote."""
        content = read_json(folder / RECORD)
        return cls(content["facts"], content["missing"], content["files"])


def gather(root: Path, readers: Mapping[str, Callable[[Path], Any]]) -> tuple[dict[str, Any], dict[str, str]]:
    """Ask each reader for its fact; where it fails, keep what it says instead.

    Args:
        root: of the project.
        readers: by the fact's name; each reads a project's files.

    Returns:
        The facts, and what is missing with the cause.
    """
    facts, missing = {}, {}
    for name, read in readers.items():
        try:
            facts[name] = read(root)
        except LookupError as error:
            missing[name] = f"a file without {error}"
        except (GliosegError, OSError) as error:
            missing[name] = str(error)
    return facts, missing


def training(root: Path) -> dict[str, str]:
    """The run that trained the model, and MLflow's name of the model."""
    record = read_json(root / KEPT["model.json"])
    return {"run_id": record["run_id"], "model_id": record["model_id"]}


def study(root: Path) -> dict[str, Any] | None:
    """The study, its best trial and its run; None where no trial was asked for."""
    if not _settings(root)["tune"]["trials"]:
        return None
    record: dict[str, Any] = read_json(root / "reports/tune/study.json")
    return record


def parameters(root: Path) -> dict[str, Any]:
    """All settings, what the study found best in its place; and the hash of params.yaml."""
    text, best = (root / "params.yaml").read_bytes(), read_json(root / KEPT["best_params.json"])
    used = _settings(root)
    for name, value in best.items():
        used["network" if name in used["network"] else "train"][name] = value
    return {"sha256": sha256(text), "best": best, "used": used}


def split(root: Path) -> dict[str, Any]:
    """How many cases are in each part."""
    locked = _locked_file(root, KEPT["splits.json"])
    splits = read_json(root / KEPT["splits.json"])
    return {"md5": locked} | {part: len(splits[part]) for part in ("train", "validation", "test")}


def cropped_data(root: Path) -> dict[str, str]:
    """The cohort as training sees it."""
    return {"md5": _locked(root, "data/cropped")}


def raw_data(root: Path) -> dict[str, Any]:
    """The scans as they came, how many cases, and which label schemes."""
    cases = read_cohort(root / "data/raw" / COHORT)
    source = _settings(root)["data"]["source"]
    schemes = sorted({case.scheme.value for case in cases})
    return {"md5": _locked(root, "data/raw"), "cases": len(cases), "source": source, "schemes": schemes}


def validation(kind: str) -> Callable[[Path], dict[str, Any]]:
    """A reader of the verdict on the raw or on the cropped data."""

    def read(root: Path) -> dict[str, Any]:
        path = f"reports/validation/{kind}.json"
        locked, verdict = _locked_file(root, path), read_json(root / path)
        counts = Counter(case["status"] for case in verdict["cases"].values())
        return {"md5": locked, "outcome": verdict["verdict"], "cases": dict(counts)}

    return read


def code(root: Path) -> dict[str, Any]:
    """The commit, and which files differed from it or were not in git at all."""
    here = commit(root)
    if here.sha == UNKNOWN:
        raise MissingFactError("there was no git, no repository or no commit")
    changed = git(root, "diff", "--name-only", "-z", "HEAD", "--", *SOURCE)
    untracked = git(root, "ls-files", "--others", "--exclude-standard", "-z", "--", *CODE)
    return {"commit": here.sha, "changed": _names(changed), "untracked": _names(untracked)}


def _names(listed: str) -> list[str]:
    return [name for name in listed.split("\0") if name]


def environment(root: Path) -> dict[str, str]:
    """The hash of the lock file of all packages."""
    if not (root / LOCK).exists():
        raise MissingFactError(f"there was no {LOCK}")
    return {"sha256": files_fingerprint([root / LOCK], folder=root)}


def model(root: Path) -> dict[str, Any]:
    """What a user of the model must know of its settings."""
    settings = read_json(root / "models/calibrated/settings.json")
    names = ("spacing_mm", "modality_dropout", "calibration_error_before", "calibration_error_after")
    return {name: settings[name] for name in names}


READERS: dict[str, Callable[[Path], Any]] = {
    "training": training,
    "study": study,
    "parameters": parameters,
    "split": split,
    "cropped_data": cropped_data,
    "raw_data": raw_data,
    "raw_validation": validation("raw"),
    "cropped_validation": validation("cropped"),
    "code": code,
    "environment": environment,
    "model": model,
}


def _settings(root: Path) -> Any:
    path = root / "params.yaml"
    return parse_yaml(read_text(path), path)


def _locked(root: Path, path: str) -> str:
    try:
        return locked_hashes(root)[path]
    except KeyError:
        raise MissingFactError(f"dvc.lock named no hash of {path}") from None


def _locked_file(root: Path, path: str) -> str:
    """DVC's hash of a file, if it is the file that lies here."""
    locked = _locked(root, path)
    if dvc_hash(root / path) != locked:
        raise MissingFactError(f"{path} was not the file that dvc.lock named")
    return locked

"""Collectors: each reads one fact about the origin of a model, or raises an error with the reason."""

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from glioseg.core.errors import GliosegError
from glioseg.core.files import read_json
from glioseg.core.fingerprint import files_fingerprint, sha256_bytes
from glioseg.data.cohort.cases import COHORT, read_cohort
from glioseg.mlops.tracking.git_dvc import (
    SOURCE,
    UNKNOWN,
    current_commit,
    dvc_hash,
    dvc_lock_hashes,
    git_output,
)
from glioseg.params.contract import CONTRACT
from glioseg.params.settings_file import parse_yaml, read_text

LOCK_FILE = "requirements.lock"
CODE = ("src", "pipelines")

RECORDED_FILES = {
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
"""The small files that are recorded with a version, and their paths in a project."""
OPTIONAL_FILES = frozenset({"contract.yaml", "initial_weights.json"})
"""Recorded files that a project may lack, and that versions of older projects lack."""


class MissingFactError(GliosegError):
    """A fact that is unknown; the message gives the reason."""


def collect(
    root: Path, collectors: Mapping[str, Callable[[Path], Any]]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Run all collectors; the error message of a failed one becomes the reason why its fact is missing.

    Args:
        root: the project.
        collectors: by the name of the fact; each reads a project's files.

    Returns:
        The facts, and the reason for each missing fact.
    """
    facts, missing = {}, {}
    for name, read in collectors.items():
        try:
            facts[name] = read(root)
        except LookupError as error:
            missing[name] = f"a file has no {error}"
        except (GliosegError, OSError) as error:
            missing[name] = str(error)
    return facts, missing


def training(root: Path) -> dict[str, str]:
    """The training run, and the `model_id` of its logged model."""
    record = read_json(root / RECORDED_FILES["model.json"])
    return {"run_id": record["run_id"], "model_id": record["model_id"]}


def study(root: Path) -> dict[str, Any] | None:
    """The study, its best trial and its run; None where tune.trials is 0."""
    if not _settings(root)["tune"]["trials"]:
        return None
    record: dict[str, Any] = read_json(root / "reports/tune/study.json")
    return record


def parameters(root: Path) -> dict[str, Any]:
    """All settings including the study's best values, these values alone, and the hash of params.yaml."""
    text, best = (root / "params.yaml").read_bytes(), read_json(root / RECORDED_FILES["best_params.json"])
    used = _settings(root)
    for name, value in best.items():
        used["network" if name in used["network"] else "train"][name] = value
    return {"sha256": sha256_bytes(text), "best": best, "used": used}


def split(root: Path) -> dict[str, Any]:
    """The number of cases in each part of the split."""
    locked = _locked_file(root, RECORDED_FILES["splits.json"])
    splits = read_json(root / RECORDED_FILES["splits.json"])
    return {"md5": locked} | {part: len(splits[part]) for part in ("train", "validation", "test")}


def cropped_data(root: Path) -> dict[str, str]:
    """DVC's hash of the cropped cohort, which training reads."""
    return {"md5": _locked(root, "data/cropped")}


def raw_data(root: Path) -> dict[str, Any]:
    """DVC's hash of the raw scans, their number, source and label schemes."""
    cases = read_cohort(root / "data/raw" / COHORT)
    source = _settings(root)["data"]["source"]
    schemes = sorted({case.scheme.value for case in cases})
    return {"md5": _locked(root, "data/raw"), "cases": len(cases), "source": source, "schemes": schemes}


def validation(kind: str) -> Callable[[Path], dict[str, Any]]:
    """A collector of the validation result of the raw or the cropped data."""

    def read(root: Path) -> dict[str, Any]:
        path = f"reports/validation/{kind}.json"
        locked, report = _locked_file(root, path), read_json(root / path)
        counts = Counter(case["status"] for case in report["cases"].values())
        return {"md5": locked, "outcome": report["outcome"], "cases": dict(counts)}

    return read


def code(root: Path) -> dict[str, Any]:
    """The commit, the tracked files that differed from it, and the code files that git did not track."""
    head = current_commit(root)
    if head.sha == UNKNOWN:
        raise MissingFactError("there was no git, no repository or no commit")
    changed = git_output(root, "diff", "--name-only", "-z", "HEAD", "--", *SOURCE)
    untracked = git_output(root, "ls-files", "--others", "--exclude-standard", "-z", "--", *CODE)
    return {"commit": head.sha, "changed": _names(changed), "untracked": _names(untracked)}


def _names(listed: str) -> list[str]:
    return [name for name in listed.split("\0") if name]


def environment(root: Path) -> dict[str, str]:
    """The hash of the lock file of all packages."""
    if not (root / LOCK_FILE).exists():
        raise MissingFactError(f"there was no {LOCK_FILE}")
    return {"sha256": files_fingerprint([root / LOCK_FILE], folder=root)}


def model(root: Path) -> dict[str, Any]:
    """The settings of the model that its card describes."""
    settings = read_json(root / "models/calibrated/settings.json")
    names = ("spacing_mm", "modality_dropout", "calibration_error_before", "calibration_error_after")
    return {name: settings[name] for name in names}


COLLECTORS: dict[str, Callable[[Path], Any]] = {
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
        return dvc_lock_hashes(root)[path]
    except KeyError:
        raise MissingFactError(f"dvc.lock had no hash of {path}") from None


def _locked_file(root: Path, path: str) -> str:
    """DVC's hash of a file; an error if the file in the project has another hash."""
    locked = _locked(root, path)
    if dvc_hash(root / path) != locked:
        raise MissingFactError(f"{path} differed from its hash in dvc.lock")
    return locked

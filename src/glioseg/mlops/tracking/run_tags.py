"""Tags and keys that identify the code, the data and the machine of a run."""

import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from glioseg.core.cpus import usable_cores
from glioseg.core.fingerprint import code_fingerprint, files_fingerprint, installed_version, sha256_bytes
from glioseg.mlops.tracking.git_dvc import UNKNOWN, current_commit, data_version
from glioseg.params import load_params
from glioseg.params.presets import detect_preset
from glioseg.params.settings_file import ParamsError

TRAINING = "glioseg.models.training.cross_validation"
"""The module that trains; with all its imports, it is the code that determines the weights."""
METRICS = ("glioseg.evaluation.metrics",)
"""The modules that compute the metrics of a case."""
TEST_FILES = "SHA-256 of the test cases' files"

VERSIONED = ("tensorflow", "keras", "numpy", "scipy")
"""Libraries whose version may change the last digits of a result."""
CPUS, GPUS = Path("/proc/cpuinfo"), Path("/proc/driver/nvidia/gpus")


def run_tags(stage: str, root: Path = Path()) -> dict[str, str]:
    """The tags of a run of a stage, by which a reader can distinguish runs.

    Args:
        stage: its name in dvc.yaml.
        root: the work tree that it runs in.
    """
    commit, lock = current_commit(root), root / "requirements.lock"
    tags = {
        "stage": stage,
        "preset": _preset(root / "params.yaml"),
        "data_version": data_version(root),
        "git_commit": commit.sha,
        "git_dirty": str(commit.dirty).lower(),
        "environment": files_fingerprint([lock], folder=root) if lock.exists() else UNKNOWN,
        "machine": describe_machine(),
    }
    name = os.environ.get("DVC_EXP_NAME")
    return tags | ({"dvc_experiment": name} if name else {})


def cohort_name(root: Path = Path()) -> str:
    """The name of the cohort: the last folder of `data.folder`, or "phantoms"; `UNKNOWN` without settings."""
    try:
        scans = load_params(root / "params.yaml").data.scans
    except ParamsError:
        return UNKNOWN
    return "phantoms" if scans is None else scans.resolve().name or UNKNOWN


def _preset(path: Path) -> str:
    try:
        return detect_preset(path)
    except ParamsError:
        return UNKNOWN


def metric_code_fingerprint() -> str:
    """The hash of the code that computes the metrics: only tables with equal hashes can be compared."""
    return code_fingerprint(*METRICS)


def training_key(settings: Mapping[str, object], folds: Sequence[Mapping[str, object]]) -> str:
    """The key of an interrupted training's state: a hash of everything that its weights depend on."""
    parts = [settings, folds, data_version(), code_fingerprint(TRAINING)]
    return sha256_bytes(json.dumps(parts, sort_keys=True).encode())[:10]


def evaluation_origin(files: Iterable[Path], cohort: Path, trained: Mapping[str, str]) -> dict[str, str]:
    """The data and the model of an evaluation, as its report shows them.

    Args:
        files: of the test cases.
        cohort: the folder that contains them.
        trained: content of reports/calibrate/model.json.
    """
    return {
        "DVC's hash of data/cropped": data_version(),
        TEST_FILES: files_fingerprint(files, folder=cohort),
        "MLflow run that trained the model": trained["run_id"],
        "MLflow's name of the model": trained["model_id"],
    }


def describe_machine() -> str:
    """System, processor, usable cores (sums are split over them), GPUs and package versions, in one line.

    Two machines with the same line compute the same numbers.
    """
    versions = [f"{name} {installed_version(name)}" for name in VERSIONED]
    parts = [f"{platform.system()} {platform.machine()}", _processor(), f"cores: {usable_cores()}", *_gpus()]
    return ", ".join([*parts, f"Python {platform.python_version()}", *versions])


def has_gpu(described: str) -> bool:
    """Whether a line of `describe_machine` names a GPU, which sums in varying order."""
    return "GPU " in described


def parts_not_in(described: str, other: str) -> str:
    """The parts of one line of `describe_machine` that another lacks.

    >>> parts_not_in("Linux x86_64, cores: 2", "Linux x86_64, cores: 4")
    'cores: 2'
    """
    return ", ".join(part for part in described.split(", ") if part not in other.split(", "))


def _processor() -> str:
    return _field(CPUS, "model name") or platform.processor() or "unknown processor"


def _gpus() -> list[str]:
    return [f"GPU {_field(file, 'Model')}" for file in sorted(GPUS.glob("*/information"))]


def _field(file: Path, name: str) -> str:
    """The first value of a name in a file of `name: value` lines; empty if there is none."""
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")

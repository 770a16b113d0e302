"""Reproduces a registered version's evaluation, and on request its training, in a temporary work tree."""

import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlflow import MlflowClient

from glioseg.core import old_names
from glioseg.core.fingerprint import files_fingerprint
from glioseg.mlops.provenance.collectors import LOCK_FILE, OPTIONAL_FILES, RECORDED_FILES
from glioseg.mlops.provenance.metric_agreement import Agreement, EvaluationNumbers, compare, difference_table
from glioseg.mlops.provenance.record import OLDER, LineageError, RecordedVersion, model_files, open_version
from glioseg.mlops.provenance.work_tree import (
    PATCH,
    fetch_data,
    isolated_environment,
    share_cache,
    work_tree,
)
from glioseg.mlops.tracking.git_dvc import dvc_hash, dvc_lock_hashes, dvc_lock_stages
from glioseg.mlops.tracking.run_tags import describe_machine, has_gpu, parts_not_in

MODEL_FOLDER = "models/calibrated"
RESULTS = ("per_case.csv", "metrics.json")
TRAINING_STAGES = ("train", "calibrate")


def reproduce(client: MlflowClient, address: str, *, root: Path, retrain: bool) -> Agreement:
    """Evaluate a version again in a temporary work tree of its commit, and compare the numbers.

    The work tree has its own storage, so the project gets no new run. It is removed afterwards in any case.

    Args:
        client: from `mlflow_runs.connect`.
        address: `models:/NAME/VERSION` or `models:/NAME@ALIAS`.
        root: the project.
        retrain: train and calibrate again first.

    Raises:
        LineageError, CheckoutError, DataError: the version's files, commit or data are missing or changed.
    """
    recorded = open_version(client, address)
    folder, code = _require_complete(recorded, retrain=retrain)
    own_model = model_files(recorded)
    print(f"reproduce: {recorded.address} at commit {code['commit'][:10]}", flush=True)
    with work_tree(root, code["commit"], patch=folder / PATCH if code["changed"] else None) as tree:
        _restore_files(tree, folder, own_model)
        asked = (*TRAINING_STAGES, "evaluate") if retrain else ("evaluate",)
        stages = [_own_name(tree, stage) for stage in asked]
        share_cache(root, tree)
        fetch_data(tree, _data_folders(tree, stages))
        _require_same_inputs(tree, stages)
        for stage in stages:
            _run_stage(tree, stage)
        then, now = EvaluationNumbers.read(folder), EvaluationNumbers.read(tree / "reports")
        reasons = reasons_to_differ(recorded, root)
        for reason in reasons:
            print(f"reproduce: {reason}")
        if retrain:
            print(f"reproduce: {compare_weights(own_model, tree / _own_name(tree, MODEL_FOLDER))}")
        print(f"\n{difference_table(then, now)}\n")
        return compare(then, now, reasons=reasons, retrained=retrain)


def _require_complete(recorded: RecordedVersion, *, retrain: bool) -> tuple[Path, dict[str, Any]]:
    """The folder of recorded files and the state of the code; an error if the record is incomplete."""
    address = recorded.address
    if recorded.folder is None:
        raise LineageError(f"{address}: {OLDER}")
    if recorded.changed:
        raise LineageError(f"{address}: changed after it was registered: {', '.join(recorded.changed)}")
    for fact in ("code", "parameters"):
        if fact not in recorded.record.facts:
            raise LineageError(f"{address}: its {fact} is unknown: {recorded.why_missing(fact)}")
    if lacking := sorted(set(RECORDED_FILES) - OPTIONAL_FILES - recorded.record.files.keys()):
        raise LineageError(f"{address}: not recorded when it was registered: {', '.join(lacking)}")
    start = recorded.record.facts["parameters"]["used"]["train"]["init_from"]
    if retrain and start and start.startswith("models:/"):
        raise LineageError(
            f"{address}: cannot train again: it started from {start}, which may name another version now"
        )
    return recorded.folder, recorded.record.facts["code"]


def _restore_files(tree: Path, folder: Path, own_model: Path) -> None:
    """Copy the recorded files and the version's network to the paths at which the stages read them."""
    # dvc.lock comes first: `_own_name` reads it.
    shutil.copyfile(folder / "dvc.lock", tree / RECORDED_FILES["dvc.lock"])
    for name, path in RECORDED_FILES.items():
        if (folder / name).is_file() and name not in RESULTS:
            place = tree / _own_name(tree, path)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / name, place)
    shutil.copytree(own_model, tree / _own_name(tree, MODEL_FOLDER))


def _own_name(tree: Path, name: str) -> str:
    """The name of a stage or output in the version's own dvc.yaml: older versions of glioseg used others."""
    renamed_since = not old_names.STAGES.keys().isdisjoint(dvc_lock_stages(tree))
    return old_names.old_name(name, old_names.STAGES | old_names.PATHS) if renamed_since else name


def _inputs(tree: Path, stages: Sequence[str]) -> dict[str, str]:
    """The deps of these stages that are not outs of these stages, with DVC's hashes."""
    locked = dvc_lock_stages(tree)
    if missing := sorted(set(stages) - locked.keys()):
        raise LineageError(
            f"the recorded dvc.lock has no stage {', '.join(missing)}: it did not run under DVC"
        )
    made = {out["path"] for stage in stages for out in locked[stage].get("outs", ())} | {
        _own_name(tree, MODEL_FOLDER)
    }
    return {
        dep["path"]: dep["md5"]
        for stage in stages
        for dep in locked[stage]["deps"]
        if dep["path"] not in made
    }


def _data_folders(tree: Path, stages: Sequence[str]) -> list[str]:
    """The input folders that other stages made, which are too large to be recorded with a version."""
    made = dvc_lock_hashes(tree)
    return sorted(path for path in _inputs(tree, stages) if made.get(path, "").endswith(".dir"))


def _require_same_inputs(tree: Path, stages: Sequence[str]) -> None:
    """Compare the stages' inputs, mainly the code, with their hashes in dvc.lock.

    Data folders are skipped, since DVC finds them by their hash.
    """
    data = _data_folders(tree, stages)
    inputs = {path: hashed for path, hashed in _inputs(tree, stages).items() if path not in data}
    wrong = [path for path, hashed in inputs.items() if not _has_hash(tree / path, hashed)]
    if wrong:
        raise LineageError(f"the commit is not what ran: other content in {', '.join(wrong)}")


def _has_hash(path: Path, hashed: str) -> bool:
    return path.exists() and dvc_hash(path) == hashed


def _run_stage(tree: Path, stage: str) -> None:
    """Run the command of a stage in the work tree, with this Python."""
    print(f"reproduce: {stage}", flush=True)
    _, *words = shlex.split(dvc_lock_stages(tree)[stage]["cmd"])
    done = subprocess.run([sys.executable, *words], cwd=tree, env=isolated_environment(tree), check=False)
    if done.returncode:
        raise LineageError(f"stage {stage} failed in the work tree, see above")


def reasons_to_differ(recorded: RecordedVersion, root: Path) -> list[str]:
    """The reasons why the numbers may differ in their last digits; empty if they must be equal."""
    evaluation, here, lock = recorded.record.facts.get("evaluation"), describe_machine(), root / LOCK_FILE
    if not evaluation or not evaluation["machine"]:
        return [f"the machine of the first evaluation is unknown: {recorded.why_missing('evaluation')}"]
    reasons = []
    if (there := evaluation["machine"]) != here:
        reasons.append(f"another machine: {parts_not_in(there, here)} then, {parts_not_in(here, there)} now")
    if not lock.exists() or evaluation["environment"] != files_fingerprint([lock], folder=root):
        reasons.append(f"another {LOCK_FILE}: {evaluation['environment']} then")
    if has_gpu(here):
        reasons.append("a GPU adds numbers in no fixed order")
    return reasons


def compare_weights(then: Path, now: Path) -> str:
    """Whether two model folders hold the same networks, in one phrase."""
    names = sorted({file.name for folder in (then, now) for file in folder.glob("*.keras")})
    if all(_bytes(then / name) == _bytes(now / name) for name in names):
        return "the weights are the same bytes"
    import numpy as np  # imported here: TensorFlow takes 12 s, and equal bytes do not need it

    from glioseg.models.networks.keras_file import load_networks

    old, new = (
        [weights for model in load_networks(folder) for weights in model.get_weights()]
        for folder in (then, now)
    )
    if len(old) != len(new) or any(a.shape != b.shape for a, b in zip(old, new, strict=True)):
        return "the networks have different shapes"
    gap = max(float(np.abs(a - b).max()) for a, b in zip(old, new, strict=True))
    return f"the weights differ by at most {gap:.2g}" if gap else "the weights are the same values"


def _bytes(file: Path) -> bytes:
    return file.read_bytes() if file.is_file() else b""

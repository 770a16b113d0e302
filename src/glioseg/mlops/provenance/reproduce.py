"""Does a registered version's evaluation again, and its training too where asked, apart from the project."""

import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlflow import MlflowClient

from glioseg.core.fingerprint import files_fingerprint
from glioseg.mlops.provenance.collectors import KEPT, LOCK, OPTIONAL
from glioseg.mlops.provenance.dvc_data import bring, environment, share_cache
from glioseg.mlops.provenance.git_worktree import PATCH, work_tree
from glioseg.mlops.provenance.metric_agreement import Agreement, Numbers, compare, gap_table
from glioseg.mlops.provenance.record import OLDER, Kept, LineageError, model_files, open_version
from glioseg.mlops.tracking.fingerprints import dvc_hash, locked_hashes, locked_stages
from glioseg.mlops.tracking.machine import has_gpu, machine, only_in

SETTLED = "models/calibrated"
RESULTS = ("per_case.csv", "metrics.json")
TRAINING = ("train", "settle")


def reproduce(client: MlflowClient, address: str, *, root: Path, retrain: bool) -> Agreement:
    """Evaluate a version again in a temporary work tree of its commit, and compare.

    The tree has a lab of its own: no run is added to the project's. It is removed at the end,
    whatever happens.

    Args:
        client: as from `tracking.connect`.
        address: `models:/NAME/VERSION` or `models:/NAME@ALIAS`.
        root: of the project.
        retrain: train and calibrate again first.

    Raises:
        LineageError, CheckoutError, DataError: something that it takes is not there.
    """
    kept = open_version(client, address)
    folder, code = _sound(kept, retrain=retrain)
    own = model_files(kept)
    stages = (*TRAINING, "evaluate") if retrain else ("evaluate",)
    print(f"reproduce: {kept.address} at commit {code['commit'][:10]}", flush=True)
    with work_tree(root, code["commit"], patch=folder / PATCH if code["changed"] else None) as tree:
        _furnish(tree, folder, own)
        share_cache(root, tree)
        bring(tree, _data(tree, stages))
        _check(tree, stages)
        for stage in stages:
            _run(tree, stage)
        then, now = Numbers.read(folder), Numbers.read(tree / "reports")
        reasons = reasons_to_differ(kept, root)
        for reason in reasons:
            print(f"reproduce: {reason}")
        if retrain:
            print(f"reproduce: {same_weights(own, tree / SETTLED)}")
        print(f"\n{gap_table(then, now)}\n")
        return compare(then, now, reasons=reasons, retrained=retrain)


def _sound(kept: Kept, *, retrain: bool) -> tuple[Path, dict[str, Any]]:
    """The kept files and the state of the code, if they suffice."""
    if kept.folder is None:
        raise LineageError(f"{kept.address}: {OLDER}")
    if kept.changed:
        raise LineageError(f"{kept.address}: changed after it was registered: {', '.join(kept.changed)}")
    for fact in ("code", "parameters"):
        if fact not in kept.record.facts:
            raise LineageError(f"{kept.address}: its {fact} is not known: {kept.why(fact)}")
    if lacking := sorted(set(KEPT) - OPTIONAL - kept.record.files.keys()):
        raise LineageError(f"{kept.address}: not kept when it was registered: {', '.join(lacking)}")
    start = kept.record.facts["parameters"]["used"]["train"]["init_from"]
    if retrain and start and start.startswith("models:/"):
        raise LineageError(
            f"{kept.address}: it was trained from {start}, which may have moved: not done again"
        )
    return kept.folder, kept.record.facts["code"]


def _furnish(tree: Path, folder: Path, own: Path) -> None:
    """Put the kept files and the version's own network to where the stages look for them."""
    for name, path in KEPT.items():
        if (folder / name).is_file() and name not in RESULTS:
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / name, tree / path)
    shutil.copytree(own, tree / SETTLED)


def _deps(tree: Path, stages: Sequence[str]) -> dict[str, str]:
    """What these stages start from, with DVC's hash: not what one of them makes."""
    locked = locked_stages(tree)
    if missing := sorted(set(stages) - locked.keys()):
        raise LineageError(f"the kept dvc.lock has no stage {', '.join(missing)}: it did not run under DVC")
    made = {out["path"] for stage in stages for out in locked[stage].get("outs", ())} | {SETTLED}
    return {
        dep["path"]: dep["md5"]
        for stage in stages
        for dep in locked[stage]["deps"]
        if dep["path"] not in made
    }


def _data(tree: Path, stages: Sequence[str]) -> list[str]:
    """The folders that other stages made: too large to be kept with a version."""
    made = locked_hashes(tree)
    return sorted(path for path in _deps(tree, stages) if made.get(path, "").endswith(".dir"))


def _check(tree: Path, stages: Sequence[str]) -> None:
    """Compare what the stages start from, the code above all, with what dvc.lock says ran.

    The data need no look: DVC finds them by their hash.
    """
    data = _data(tree, stages)
    small = {path: hashed for path, hashed in _deps(tree, stages).items() if path not in data}
    wrong = [path for path, hashed in small.items() if not _is(tree / path, hashed)]
    if wrong:
        raise LineageError(f"the commit is not what ran: other content in {', '.join(wrong)}")


def _is(path: Path, hashed: str) -> bool:
    return path.exists() and dvc_hash(path) == hashed


def _run(tree: Path, stage: str) -> None:
    """Run a stage as its dvc.yaml says, with this Python and in the tree's own lab."""
    print(f"reproduce: {stage}", flush=True)
    _, *words = shlex.split(locked_stages(tree)[stage]["cmd"])
    done = subprocess.run([sys.executable, *words], cwd=tree, env=environment(tree), check=False)
    if done.returncode:
        raise LineageError(f"stage {stage} failed in the work tree, see above")


def reasons_to_differ(kept: Kept, root: Path) -> list[str]:
    """Why the numbers need not be the same to the last digit."""
    evaluation, here, lock = kept.record.facts.get("evaluation"), machine(), root / LOCK
    if not evaluation or not evaluation["machine"]:
        return [f"the machine of the first evaluation is not known: {kept.why('evaluation')}"]
    reasons = []
    if (there := evaluation["machine"]) != here:
        reasons.append(f"another machine: {only_in(there, here)} then, {only_in(here, there)} now")
    if not lock.exists() or evaluation["environment"] != files_fingerprint([lock], folder=root):
        reasons.append(f"another {LOCK}: {evaluation['environment']} then")
    if has_gpu(here):
        reasons.append("a graphics card adds up in no fixed order")
    return reasons


def same_weights(then: Path, now: Path) -> str:
    """Say whether two model folders hold the same networks."""
    names = sorted({file.name for folder in (then, now) for file in folder.glob("*.keras")})
    if all(_bytes(then / name) == _bytes(now / name) for name in names):
        return "the weights are the same bytes"
    import numpy as np  # TensorFlow takes 12 s, and is not needed where the bytes are the same

    from glioseg.models.networks.keras_file import load_networks

    old, new = (
        [weights for model in load_networks(folder) for weights in model.get_weights()]
        for folder in (then, now)
    )
    if len(old) != len(new) or any(a.shape != b.shape for a, b in zip(old, new, strict=True)):
        return "the networks are not of the same shape"
    gap = max(float(np.abs(a - b).max()) for a, b in zip(old, new, strict=True))
    return f"the weights differ by {gap:.2g} at most" if gap else "the weights are the same values"


def _bytes(file: Path) -> bytes:
    return file.read_bytes() if file.is_file() else b""

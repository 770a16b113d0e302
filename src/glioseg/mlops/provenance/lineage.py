"""The chain of how a registered version came to be: each link with its value and where that was read."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from glioseg.mlops.provenance.builtin_record import KEPT_OF_BUILTIN
from glioseg.mlops.provenance.collectors import KEPT, LOCK, OPTIONAL, RECORD
from glioseg.mlops.provenance.git_worktree import PATCH, has_commit
from glioseg.mlops.provenance.record import Kept
from glioseg.mlops.provenance.recorder import folder_of
from glioseg.mlops.tracking.candidate import CONTENT
from glioseg.mlops.tracking.mlflow_runs import PARENT_TAG, experiment_id
from glioseg.models import builtin

REGISTRY = "MLflow's registry"
NONE = "none was asked for"


@dataclass(frozen=True)
class Link:
    """One link of the chain; where it is missing, `missing` says why and there is no `value`.

    `source` says where the value was read, or was sought.
    """

    name: str
    value: str
    source: str
    missing: str = ""


def chain(client: MlflowClient, kept: Kept, *, root: Path) -> list[Link]:
    """Follow a version back to its data, its code and its environment.

    What was kept with the version is compared with what the lab and the repository have now: a run
    may have been deleted since, and a commit may never have come here.

    Args:
        client: as from `tracking.connect`.
        kept: the version.
        root: of the project.
    """
    if builtin.RECORD in kept.record.files:
        return _of_builtin(kept, root)
    return [
        _version(kept),
        _kept_files(kept, KEPT.keys() - OPTIONAL),
        _run(client, kept, "evaluation", "evaluate"),
        _run(client, kept, "training", "train"),
        *_study(client, kept),
        _fact(kept, "parameters", "parameters", _parameters, "params.yaml, best_params.json"),
        _fact(kept, "split", "split", _split, "dvc.lock"),
        _fact(kept, "cropped data", "cropped_data", _data, "dvc.lock"),
        _fact(kept, "validation of cropped data", "cropped_validation", _verdict, "dvc.lock, its report"),
        _fact(kept, "raw data", "raw_data", _data, "dvc.lock"),
        _fact(kept, "validation of raw data", "raw_validation", _verdict, "dvc.lock, its report"),
        _commit(kept, root),
        _environment(kept),
    ]


def _of_builtin(kept: Kept, root: Path) -> list[Link]:
    """The chain of the built-in model: it has no project's stages behind it."""
    source = f"the package's {builtin.RECORD}"
    return [
        _version(kept),
        _kept_files(kept, KEPT_OF_BUILTIN),
        _fact(kept, "training", "pretraining", _pieces, source),
        _fact(kept, "data", "pretraining", _stream, source),
        _fact(kept, "validation data", "pretraining", _held, source),
        _fact(kept, "settled", "pretraining", lambda fact: f"at commit {fact['settled']['sha']}", source),
        _commit(kept, root),
        _environment(kept),
    ]


def _environment(kept: Kept) -> Link:
    return _fact(kept, "environment", "environment", lambda fact: f"SHA-256 {fact['sha256']}", LOCK)


def _pieces(fact: Mapping[str, Any]) -> str:
    pieces = len(fact["trained"])
    count = f"{pieces} pieces" if pieces > 1 else "one piece"
    return f"{fact['steps']} steps in {count}, validation Dice {fact['validation_dice']:.3f}"


def _stream(fact: Mapping[str, Any]) -> str:
    stream = fact["settings"]["stream"]
    return (
        f"drawn patients, {stream['preset']}, seed {stream['seed']} and each piece's own; no patient's scan"
    )


def _held(fact: Mapping[str, Any]) -> str:
    parts = fact["settings"]["validation"]
    return ", ".join(f"{part['cases']} {part['preset']} of seed {part['seed']}" for part in parts)


def _version(kept: Kept) -> Link:
    version = kept.version
    names = [f"{version.name} version {version.version}", *sorted(version.aliases)]
    value = f"{', '.join(names)}; content SHA-256 {version.tags.get(CONTENT, 'not known')}"
    return Link("registered version", value, REGISTRY)


def _kept_files(kept: Kept, expected: Iterable[str]) -> Link:
    link = Link("kept files", "", f"the version's {folder_of(kept.version.name, kept.version.version)}")
    if kept.folder is None:
        return _lost(link, kept.why("files"))
    if kept.changed:
        return _lost(link, f"changed after the version was registered: {', '.join(kept.changed)}")
    lacking = sorted(set(expected) - kept.record.files.keys())
    if lacking:
        return _lost(link, f"not there when the version was registered: {', '.join(lacking)}")
    return _found(link, f"{len(kept.record.files) + 1} files, as they were when the version was registered")


def _run(client: MlflowClient, kept: Kept, fact: str, experiment: str) -> Link:
    link = Link(f"{fact} run", "", f"MLflow, experiment {experiment}")
    if fact not in kept.record.facts:
        return _lost(link, kept.why(fact))
    return _live(client, link, kept.record.facts[fact]["run_id"])


def _live(client: MlflowClient, link: Link, run_id: str) -> Link:
    """The link of a run that the database still has."""
    try:
        run: Run = client.get_run(run_id)
    except MlflowException:
        return _lost(link, f"run {run_id} is not in this database: made elsewhere, or deleted for good")
    if run.info.lifecycle_stage == "deleted":
        return _lost(link, f"run {run_id} was deleted; `mlflow runs restore --run-id {run_id}` undoes it")
    return _found(link, f"{run_id} “{run.info.run_name}”, {run.info.status.lower()}")


def _study(client: MlflowClient, kept: Kept) -> list[Link]:
    study = Link("study", "", "MLflow, experiment tune")
    trial = Link("trial", "", "MLflow, experiment tune")
    if "study" not in kept.record.facts:
        return [_lost(link, kept.why("study")) for link in (study, trial)]
    fact = kept.record.facts["study"]
    if fact is None:
        return [Link(link.name, f"{NONE}: tune.trials is 0", "params.yaml") for link in (study, trial)]
    found = _live(client, study, fact["run_id"])
    if not found.missing:
        found = _found(study, f"{fact['study']}, run {found.value}")
    return [found, _trial(client, trial, fact)]


def _trial(client: MlflowClient, link: Link, fact: Mapping[str, Any]) -> Link:
    mine = f"tags.`{PARENT_TAG}` = '{fact['run_id']}' AND tags.trial = '{fact['trial']}'"
    runs: Sequence[Run] = client.search_runs([experiment_id(client, "tune")], mine)
    if not runs:
        return _lost(link, f"the run of trial {fact['trial']} of {fact['study']} is not in this database")
    found = _live(client, link, runs[0].info.run_id)
    return _found(link, f"number {fact['trial']}, the best, run {found.value}")


def _parameters(fact: Mapping[str, Any]) -> str:
    best = ", ".join(f"{name} {_short(value)}" for name, value in fact["best"].items())
    chosen = f"; by the study: {best}" if best else ""
    return f"params.yaml SHA-256 {fact['sha256']}{chosen}"


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _split(fact: Mapping[str, Any]) -> str:
    counts = ", ".join(f"{fact[part]} {part}" for part in ("train", "validation", "test"))
    return f"{counts}; MD5 {fact['md5']}"


def _data(fact: Mapping[str, Any]) -> str:
    what = f"{fact['cases']} cases of {_origin(fact)}; " if "cases" in fact else ""
    return f"{what}MD5 {fact['md5']}"


def _origin(fact: Mapping[str, Any]) -> str:
    if fact["source"] == "phantom":
        return "the built-in phantoms"
    return f"a user's folder, labels {', '.join(fact['schemes'])}"


def _verdict(fact: Mapping[str, Any]) -> str:
    counts = ", ".join(f"{count} {status.replace('_', ' ')}" for status, count in fact["cases"].items())
    return f"{fact['outcome']}: {counts}; MD5 {fact['md5']}"


def _commit(kept: Kept, root: Path) -> Link:
    link = Link("git commit", "", f"{RECORD}, this repository")
    if "code" not in kept.record.facts:
        return _lost(link, kept.why("code"))
    fact = kept.record.facts["code"]
    if fact["untracked"]:
        return _lost(
            link, f"{fact['commit']}, but files ran that git does not track: {_few(fact['untracked'])}"
        )
    if not has_commit(root, fact["commit"]):
        return _lost(link, f"{fact['commit']} is not in this repository; `git fetch` may bring it")
    patch = f" with {PATCH} ({_few(fact['changed'])})" if fact["changed"] else ", no file differed"
    return _found(link, f"{fact['commit']}{patch}")


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def _fact(kept: Kept, name: str, fact: str, say: Callable[[Mapping[str, Any]], str], source: str) -> Link:
    link = Link(name, "", source)
    if fact not in kept.record.facts:
        return _lost(link, kept.why(fact))
    return _found(link, say(kept.record.facts[fact]))


def _found(link: Link, value: str) -> Link:
    return Link(link.name, value, link.source)


def _lost(link: Link, why: str) -> Link:
    return Link(link.name, "", link.source, why)

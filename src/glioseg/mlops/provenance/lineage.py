"""Traces the lineage of a registered version: its runs, data, code and environment, each with its source."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from glioseg.core.old_names import FIELDS, with_current_names
from glioseg.mlops.provenance.builtin_record import BUILTIN_FILES, REAL_CASES, TRAINED_ON, real_cases
from glioseg.mlops.provenance.collectors import LOCK_FILE, OPTIONAL_FILES, RECORDED_FILES
from glioseg.mlops.provenance.record import RECORD, RecordedVersion, lineage_folder
from glioseg.mlops.provenance.work_tree import PATCH, has_commit
from glioseg.mlops.tracking.mlflow_runs import PARENT_TAG, experiment_id
from glioseg.mlops.tracking.model_files import CONTENT_HASH
from glioseg.models import builtin

REGISTRY = "MLflow's registry"
RESTORE = "MLFLOW_TRACKING_URI=$(python -m glioseg.mlops.tracking.storage tracking) mlflow runs restore"
"""The command that restores a deleted run, given its ID; without an address, MLflow uses another database."""


@dataclass(frozen=True)
class LineageEntry:
    """One entry of a lineage; if it is missing, `value` is empty and `missing` is the reason.

    `source` names the place where the value was read or looked up.
    """

    name: str
    value: str
    source: str
    missing: str = ""


def trace_lineage(client: MlflowClient, recorded: RecordedVersion, *, root: Path) -> list[LineageEntry]:
    """Trace a version back to its data, code and environment.

    The record is compared with the present database and repository, since a run may have been deleted, and a
    clone may lack the commit.

    Args:
        client: from `mlflow_runs.connect`.
        recorded: the version.
        root: the project.
    """
    if builtin.RECORD in recorded.record.files:
        return _of_builtin(client, recorded, root)
    return [
        _version(recorded),
        _recorded_files(recorded, RECORDED_FILES.keys() - OPTIONAL_FILES),
        _run(client, recorded, "evaluation", "evaluate"),
        _run(client, recorded, "training", "train"),
        *_study(client, recorded),
        _fact(recorded, "parameters", "parameters", _parameters, "params.yaml, best_params.json"),
        _fact(recorded, "split", "split", _split, "dvc.lock"),
        _fact(recorded, "cropped data", "cropped_data", _data, "dvc.lock"),
        _fact(
            recorded, "validation of cropped data", "cropped_validation", _validation, "dvc.lock, its report"
        ),
        _fact(recorded, "raw data", "raw_data", _data, "dvc.lock"),
        _fact(recorded, "validation of raw data", "raw_validation", _validation, "dvc.lock, its report"),
        _commit(recorded, root),
        _environment(recorded),
    ]


def _of_builtin(client: MlflowClient, recorded: RecordedVersion, root: Path) -> list[LineageEntry]:
    """The lineage of the built-in model, which was not made by the stages of a project.

    Earlier versions of glioseg logged no evaluation run of it, and learned its confidence on synthetic cases.
    """
    source, facts = f"the package's {builtin.RECORD}", recorded.record.facts
    evaluated, real = "evaluation" in facts, REAL_CASES in facts.get("pretraining", {})
    return [
        _version(recorded),
        _recorded_files(recorded, BUILTIN_FILES),
        *([_run(client, recorded, "evaluation", "evaluate")] if evaluated else []),
        _fact(recorded, "training", "pretraining", _training_phases, source),
        _fact(recorded, "data", "pretraining", _training_data, source),
        _fact(recorded, "validation data", "pretraining", _validation_data, source),
        _fact(recorded, "calibration", "pretraining", _calibration, source),
        *([_fact(recorded, "confidence", "pretraining", _confidence, source)] if real else []),
        _commit(recorded, root),
        _environment(recorded),
    ]


def _environment(recorded: RecordedVersion) -> LineageEntry:
    return _fact(recorded, "environment", "environment", lambda fact: f"SHA-256 {fact['sha256']}", LOCK_FILE)


def _training_phases(fact: Mapping[str, Any]) -> str:
    phases = len(fact["trained"])
    count = f"{phases} phases" if phases > 1 else "one phase"
    return f"{fact['steps']} steps in {count}, validation Dice {fact['validation_dice']:.3f}"


def _calibration(fact: Mapping[str, Any]) -> str:
    return f"at commit {with_current_names(fact, FIELDS)['calibrated']['sha']}"


def _confidence(fact: Mapping[str, Any]) -> str:
    """The real cases are named; their files have no recorded hashes."""
    real = fact[REAL_CASES]
    dirty = " with changes that were not recorded" if real["dirty"] else ""
    return f"learned on {real_cases(real['cases'])}; at commit {real['sha']}{dirty}"


def _training_data(fact: Mapping[str, Any]) -> str:
    stream = fact["settings"]["stream"]
    seeds = f"seed {stream['seed']} and one seed for each phase"
    synthetic = f"synthetic cases, preset {stream['preset']}, {seeds}"
    if (real := fact.get(TRAINED_ON)) is None:
        return f"{synthetic}; no scan of a patient"
    return f"{synthetic}; {real_cases(real['sha256'])}, whose files have a recorded SHA-256"


def _validation_data(fact: Mapping[str, Any]) -> str:
    parts, real = fact["settings"]["validation"], fact.get(TRAINED_ON)
    if real:
        return f"cross-validation of the real cases in {len(set(real['folds'].values()))} folds"
    return ", ".join(f"{part['cases']} {part['preset']} of seed {part['seed']}" for part in parts)


def _version(recorded: RecordedVersion) -> LineageEntry:
    version = recorded.version
    names = [f"{version.name} version {version.version}", *sorted(version.aliases)]
    value = f"{', '.join(names)}; content SHA-256 {version.tags.get(CONTENT_HASH, 'not known')}"
    return LineageEntry("registered version", value, REGISTRY)


def _recorded_files(recorded: RecordedVersion, expected: Iterable[str]) -> LineageEntry:
    folder = lineage_folder(recorded.version.name, recorded.version.version)
    entry = LineageEntry("recorded files", "", f"the version's {folder}")
    if recorded.folder is None:
        return _missing(entry, recorded.why_missing("files"))
    if recorded.changed:
        return _missing(entry, f"changed after the version was registered: {', '.join(recorded.changed)}")
    lacking = sorted(set(expected) - recorded.record.files.keys())
    if lacking:
        return _missing(entry, f"missing when the version was registered: {', '.join(lacking)}")
    return _found(
        entry, f"{len(recorded.record.files) + 1} files, as they were when the version was registered"
    )


def _run(client: MlflowClient, recorded: RecordedVersion, fact: str, experiment: str) -> LineageEntry:
    entry = LineageEntry(f"{fact} run", "", f"MLflow, experiment {experiment}")
    if fact not in recorded.record.facts:
        return _missing(entry, recorded.why_missing(fact))
    return _live(client, entry, recorded.record.facts[fact]["run_id"])


def _live(client: MlflowClient, entry: LineageEntry, run_id: str) -> LineageEntry:
    """The entry of a run, if the database still has it."""
    try:
        run: Run = client.get_run(run_id)
    except MlflowException:
        return _missing(
            entry, f"run {run_id} is not in this database: made elsewhere, or deleted permanently"
        )
    if run.info.lifecycle_stage == "deleted":
        return _missing(entry, f"run {run_id} was deleted; to restore it: `{RESTORE} --run-id {run_id}`")
    return _found(entry, f"{run_id} “{run.info.run_name}”, {run.info.status.lower()}")


def _study(client: MlflowClient, recorded: RecordedVersion) -> list[LineageEntry]:
    study = LineageEntry("study", "", "MLflow, experiment tune")
    trial = LineageEntry("trial", "", "MLflow, experiment tune")
    if "study" not in recorded.record.facts:
        return [_missing(entry, recorded.why_missing("study")) for entry in (study, trial)]
    fact = recorded.record.facts["study"]
    if fact is None:
        return [LineageEntry(entry.name, "none: tune.trials is 0", "params.yaml") for entry in (study, trial)]
    found = _live(client, study, fact["run_id"])
    if not found.missing:
        found = _found(study, f"{fact['study']}, run {found.value}")
    return [found, _trial(client, trial, fact)]


def _trial(client: MlflowClient, entry: LineageEntry, fact: Mapping[str, Any]) -> LineageEntry:
    mine = f"tags.`{PARENT_TAG}` = '{fact['run_id']}' AND tags.trial = '{fact['trial']}'"
    runs: Sequence[Run] = client.search_runs([experiment_id(client, "tune")], mine)
    if not runs:
        return _missing(entry, f"the run of trial {fact['trial']} of {fact['study']} is not in this database")
    found = _live(client, entry, runs[0].info.run_id)
    return _found(entry, f"number {fact['trial']}, the best, run {found.value}")


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
        return "the built-in phantom generator"
    return f"a user's folder, labels {', '.join(fact['schemes'])}"


def _validation(fact: Mapping[str, Any]) -> str:
    counts = ", ".join(f"{count} {status.replace('_', ' ')}" for status, count in fact["cases"].items())
    return f"{fact['outcome']}: {counts}; MD5 {fact['md5']}"


def _commit(recorded: RecordedVersion, root: Path) -> LineageEntry:
    entry = LineageEntry("git commit", "", f"{RECORD}, this repository")
    if "code" not in recorded.record.facts:
        return _missing(entry, recorded.why_missing("code"))
    fact = recorded.record.facts["code"]
    if fact["untracked"]:
        return _missing(
            entry,
            f"{fact['commit']}, but stages used files that git does not track: {_few(fact['untracked'])}",
        )
    if not has_commit(root, fact["commit"]):
        return _missing(entry, f"{fact['commit']} is not in this repository; `git fetch` may bring it")
    patch = f" with {PATCH} ({_few(fact['changed'])})" if fact["changed"] else ", without changes"
    return _found(entry, f"{fact['commit']}{patch}")


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def _fact(
    recorded: RecordedVersion, name: str, fact: str, describe: Callable[[Mapping[str, Any]], str], source: str
) -> LineageEntry:
    entry = LineageEntry(name, "", source)
    if fact not in recorded.record.facts:
        return _missing(entry, recorded.why_missing(fact))
    return _found(entry, describe(recorded.record.facts[fact]))


def _found(entry: LineageEntry, value: str) -> LineageEntry:
    return LineageEntry(entry.name, value, entry.source)


def _missing(entry: LineageEntry, reason: str) -> LineageEntry:
    return LineageEntry(entry.name, "", entry.source, reason)

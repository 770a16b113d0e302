"""Registers a model once as a version of the registered model, and promotes it as the gate decides.

Where the registry is empty, the built-in model becomes version 1, so that the first trained model has a
baseline.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import mlflow
import pandas as pd
from mlflow import MlflowClient

from glioseg.core.fingerprint import files_fingerprint
from glioseg.evaluation.summary import summarise
from glioseg.mlops.provenance.builtin_record import (
    BuiltinEvaluation,
    builtin_tags,
    record_builtin_lineage,
)
from glioseg.mlops.provenance.recorder import record_lineage
from glioseg.mlops.registry.candidate import Evaluation, already_registered, identifying_tags
from glioseg.mlops.registry.case_tables import PER_CASE, Score, worst_calibration_error
from glioseg.mlops.registry.promotion import COMPARED_WITH, GATE_DECISION, Candidate, decide_promotion
from glioseg.mlops.registry.versions import CHAMPION, Versions
from glioseg.mlops.tracking.logged_model import log_model
from glioseg.mlops.tracking.mlflow_runs import SOURCE, connect, log_evaluation
from glioseg.mlops.tracking.model_files import CONTENT_HASH, FILES_HASH, ModelFiles
from glioseg.mlops.tracking.run_tags import run_tags
from glioseg.mlops.tracking.storage import ProjectStorage
from glioseg.models.builtin import builtin_model
from glioseg.params.contract import Contract
from glioseg.params.sections import Register

BUILTIN_NAME = "built-in model"
"""The name of the built-in model's evaluation run, and its tag `preset`."""
NO_RUN = "none: trained before it came with glioseg"
"""Placeholder for the training run of the built-in model."""

Recorder = Callable[[MlflowClient, str, str], None]
"""Records the lineage of a version, given its name and number; a repeated call replaces the record."""


@dataclass(frozen=True)
class HeldOutCases:
    """The test cases: their names, the table of their cohort, and the contract that validated them."""

    cohort: Path
    cases: list[str]
    contract: Contract

    def evaluate(
        self, folder: Path, *, pictures: Path | None = None
    ) -> tuple[pd.DataFrame, dict[str, float]]:
        """Evaluate a model folder on these cases: their table, and seconds and memory.

        Args:
            folder: with the model.
            pictures: folder for each case's pictures, or None for no pictures.
        """
        from glioseg.data.cohort.cases import read_cases
        from glioseg.evaluation.per_case import evaluate_cases, summarise_costs
        from glioseg.models.inference.loading import load_model

        # The model's own contract may be stricter, and reject a test case that the candidate was tested on.
        model = replace(load_model(folder), contract=self.contract)
        table, costs = evaluate_cases(model, read_cases(self.cohort, self.cases), pictures=pictures)
        return table, summarise_costs(costs)

    @property
    def files_hash(self) -> str:
        """The hash of the files of these cases, as stage evaluate computes it."""
        from glioseg.data.cohort.cases import read_cases

        cases = read_cases(self.cohort, self.cases)
        files = (file for case in cases for file in case.files.values())
        return files_fingerprint(files, folder=self.cohort.parent)


def register_candidate(
    storage: ProjectStorage,
    rules: Register,
    model_files: ModelFiles,
    evaluation: Evaluation,
    *,
    run_id: str,
    tests: HeldOutCases,
) -> str:
    """Register and promote under a lock, since two candidates could otherwise both replace one champion.

    Args:
        storage: its database holds the registry.
        rules: the registered model's name, and the gate's rules.
        model_files: the files that the version is made from.
        evaluation: of this model on the test cases.
        run_id: the run that trained it.
        tests: the test cases, for baselines that have no table of them.

    Returns:
        The result of `register`.
    """
    with storage.locked("registry", waiting="register: another process is registering a version"):
        client = connect(storage)
        if rules.builtin and _needs_builtin(Versions(client, rules.name)):
            line = register_builtin(client, rules=rules, package=model_files.package, tests=tests)
            print(f"register: the built-in model: {line}", flush=True)
        return register(
            client,
            rules=rules,
            model_files=model_files,
            run_id=run_id,
            evaluation=evaluation,
            recorder=record_lineage,
            score=lambda folder: tests.evaluate(folder)[0],
        )


def _needs_builtin(versions: Versions) -> bool:
    """Whether the registry is empty, or the registration of the built-in model was interrupted."""
    builtin = versions.tagged("trained_run", NO_RUN)
    return not any(GATE_DECISION in versions.tags(v) for v in builtin) if builtin else versions.is_empty()


def register_builtin(client: MlflowClient, *, rules: Register, package: Path, tests: HeldOutCases) -> str:
    """Register the built-in model, which becomes champion if it is within the gate's limits.

    Its evaluation is a run of MLflow, like that of a trained model.

    Args:
        client: from `mlflow_runs.connect`.
        rules: the registered model's name, and the gate's rules.
        package: glioseg's own folder.
        tests: the test cases.

    Returns:
        The result of `register`.
    """
    folder, origin = builtin_model(), builtin_tags()
    with TemporaryDirectory() as aside:
        pictures, per_case = Path(aside) / "pictures", Path(aside) / PER_CASE
        pictures.mkdir()
        table, resources = tests.evaluate(folder, pictures=pictures)
        table.to_csv(per_case, index=False)
        metrics = summarise(table, samples=rules.samples, seed=rules.seed)
        log = partial(
            log_evaluation,
            params={},
            cases=len(table),
            test_data=tests.files_hash,
            metrics=metrics | resources,
            files=[per_case, *sorted(pictures.iterdir())],
            name=BUILTIN_NAME,
            tags={"preset": BUILTIN_NAME, SOURCE: origin[SOURCE]},
        )
        measured = {"calibration_error": worst_calibration_error(table), **resources}
        return register(
            client,
            rules=rules,
            model_files=ModelFiles(sorted(folder.iterdir()), package),
            run_id=NO_RUN,
            evaluation=Evaluation(per_case, tests.cases, measured),
            recorder=partial(_record_builtin, log=log, metrics=metrics),
            score=lambda other: tests.evaluate(other)[0],
            origin=origin,
        )


def _record_builtin(
    client: MlflowClient, name: str, version: str, *, log: Callable[..., str], metrics: Mapping[str, Any]
) -> None:
    """Log the evaluation of the built-in model as a run of its logged model, and record the lineage."""
    run_id = log(run={"model_id": Versions(client, name).model_id(version)})
    record_builtin_lineage(client, name, version, evaluation=BuiltinEvaluation(run_id, metrics))


def register(
    client: MlflowClient,
    *,
    rules: Register,
    model_files: ModelFiles,
    run_id: str,
    evaluation: Evaluation,
    recorder: Recorder,
    score: Score,
    origin: Mapping[str, str] | None = None,
) -> str:
    """Register a model once, and make it champion if the gate decides so.

    A call that was interrupted at any point can be repeated and continues, since the tag with the decision
    is written last.

    Args:
        client: from `mlflow_runs.connect`.
        rules: the registered model's name, and the gate's rules.
        model_files: the files that the version is made from.
        run_id: the run that trained it; it may belong to another database.
        evaluation: of this model on the test cases.
        recorder: records the version's lineage before the decision is written.
        score: evaluates a version whose stored table is of other test cases or of other metric code.
        origin: tags with the origin of the model; by default, the present state of the project.

    Returns:
        One line with the result; below it the gate's table, if there is one.
    """
    versions = Versions(client, rules.name)
    version = _version_of(versions, model_files.content_hash)
    version = version or _create(versions, model_files, run_id, origin or run_tags("register"))
    wanted, present = identifying_tags(model_files, evaluation, rules), versions.tags(version)
    if GATE_DECISION in present and wanted.items() <= present.items():
        return already_registered(version, versions.version_under(CHAMPION))
    if GATE_DECISION in present:  # decided for other test cases, or by other metric code or rules
        versions.delete_tags(version, GATE_DECISION, COMPARED_WITH)
    client.log_model_artifact(versions.model_id(version), str(evaluation.per_case))
    recorder(client, rules.name, version)
    versions.set_tags(version, wanted)
    return decide_promotion(Candidate(versions, version, rules, evaluation, score))


def _version_of(versions: Versions, content: str) -> str | None:
    """The newest version with this content, or None."""
    return max(versions.tagged(CONTENT_HASH, content), key=int, default=None)


def _create(versions: Versions, model_files: ModelFiles, run_id: str, origin: Mapping[str, str]) -> str:
    model_id = log_model(versions.client, model_files, run_id=run_id)
    version_tags = dict(origin) | {
        CONTENT_HASH: model_files.content_hash,
        FILES_HASH: model_files.files_hash,
        "trained_run": run_id,
    }
    return str(mlflow.register_model(f"models:/{model_id}", versions.name, tags=version_tags).version)

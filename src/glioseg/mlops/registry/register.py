"""Registers a model once as a version of the registered model, and promotes it as the gate decides.

Where the registry is empty, the built-in model becomes version 1, so that the first trained model has a
baseline.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import mlflow
import pandas as pd
from mlflow import MlflowClient

from glioseg.mlops.provenance.recorder import record_builtin_lineage, record_lineage
from glioseg.mlops.registry.candidate import Evaluation, already_registered, identifying_tags
from glioseg.mlops.registry.case_tables import PER_CASE, Score, worst_calibration_error
from glioseg.mlops.registry.promotion import COMPARED_WITH, GATE_DECISION, Candidate, decide_promotion
from glioseg.mlops.registry.versions import CHAMPION, Versions
from glioseg.mlops.tracking.logged_model import log_model
from glioseg.mlops.tracking.mlflow_runs import connect
from glioseg.mlops.tracking.model_files import CONTENT_HASH, FILES_HASH, ModelFiles
from glioseg.mlops.tracking.run_tags import run_tags
from glioseg.mlops.tracking.storage import ProjectStorage
from glioseg.models.builtin import builtin_model
from glioseg.params.contract import Contract
from glioseg.params.sections import Register

NO_RUN = "none: trained before it came with glioseg"
"""Placeholder for the training run of the built-in model."""

Recorder = Callable[[MlflowClient, str, str], None]
"""Records the lineage of a version, given its name and number; a repeated call replaces the record."""

Evaluate = Callable[[Path], tuple[pd.DataFrame, dict[str, float]]]
"""Evaluates a model folder on the test cases: returns a table of `evaluate_cases`, seconds and memory."""


@dataclass(frozen=True)
class HeldOutCases:
    """The test cases: their names, the table of their cohort, and the contract that validated them."""

    cohort: Path
    cases: list[str]
    contract: Contract

    def evaluate(self, folder: Path) -> tuple[pd.DataFrame, dict[str, float]]:
        """Evaluate a model folder on these cases: their table, and seconds and memory."""
        from glioseg.data.cohort.cases import read_cases
        from glioseg.evaluation.cost import summarise_costs
        from glioseg.evaluation.per_case import evaluate_cases
        from glioseg.models.inference.loading import load_model

        # The model's own contract may be stricter, and reject a test case that the candidate was tested on.
        model = replace(load_model(folder), contract=self.contract)
        table, costs = evaluate_cases(model, read_cases(self.cohort, self.cases))
        return table, summarise_costs(costs)


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
        if rules.builtin and Versions(client, rules.name).is_empty():
            line = register_builtin(
                client, rules=rules, package=model_files.package, cases=tests.cases, evaluate=tests.evaluate
            )
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


def register_builtin(
    client: MlflowClient, *, rules: Register, package: Path, cases: Sequence[str], evaluate: Evaluate
) -> str:
    """Register the built-in model, which becomes champion if it is within the gate's limits.

    Args:
        client: from `mlflow_runs.connect`.
        rules: the registered model's name, and the gate's rules.
        package: glioseg's own folder.
        cases: names of the test cases.
        evaluate: evaluates the built-in model on them.

    Returns:
        The result of `register`.
    """
    folder = builtin_model()
    table, resources = evaluate(folder)
    error = worst_calibration_error(table)
    with TemporaryDirectory() as aside:
        per_case = Path(aside) / PER_CASE
        table.to_csv(per_case, index=False)
        return register(
            client,
            rules=rules,
            model_files=ModelFiles(sorted(folder.iterdir()), package),
            run_id=NO_RUN,
            evaluation=Evaluation(per_case, cases, {"calibration_error": error, **resources}),
            recorder=record_builtin_lineage,
            score=lambda other: evaluate(other)[0],
        )


def register(
    client: MlflowClient,
    *,
    rules: Register,
    model_files: ModelFiles,
    run_id: str,
    evaluation: Evaluation,
    recorder: Recorder,
    score: Score,
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

    Returns:
        One line with the result; below it the gate's table, if there is one.
    """
    versions = Versions(client, rules.name)
    version = _version_of(versions, model_files.content_hash) or _create(versions, model_files, run_id)
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
    same_content = f"name = '{versions.name}' AND tags.{CONTENT_HASH} = '{content}'"
    found = versions.client.search_model_versions(same_content)
    return str(max(int(version.version) for version in found)) if found else None


def _create(versions: Versions, model_files: ModelFiles, run_id: str) -> str:
    model_id = log_model(versions.client, model_files, run_id=run_id)
    version_tags = run_tags("register") | {
        CONTENT_HASH: model_files.content_hash,
        FILES_HASH: model_files.files_hash,
        "trained_run": run_id,
    }
    return str(mlflow.register_model(f"models:/{model_id}", versions.name, tags=version_tags).version)

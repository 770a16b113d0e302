"""Offers a model that the registry does not have; to an empty registry the built-in one comes first."""

from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from glioseg.mlops.provenance.builtin_record import keep_packaged
from glioseg.mlops.provenance.recorder import keep_lineage
from glioseg.mlops.registry.bootstrap import register_builtin
from glioseg.mlops.registry.mlflow_registry import register
from glioseg.mlops.registry.versions import Versions
from glioseg.mlops.tracking.candidate import Evaluation, Source
from glioseg.mlops.tracking.mlflow_runs import connect
from glioseg.mlops.tracking.storage import Lab
from glioseg.params.contract import Contract
from glioseg.params.promotion import Register


@dataclass(frozen=True)
class HeldOut:
    """The test cases: their names, the cohort that they are of, and the contract that accepted them."""

    cohort: Path
    cases: list[str]
    contract: Contract

    def judge(self, folder: Path) -> tuple[pd.DataFrame, dict[str, float]]:
        """Evaluate a model folder: asked of a champion that was tested on other cases, or never."""
        from glioseg.data.cohort.cases import read_cases
        from glioseg.evaluation.cost import resources
        from glioseg.evaluation.per_case import evaluate_cases
        from glioseg.models.inference.predictor import load_model

        # Its own contract may be stricter, and refuse a test case that its rival was measured on.
        model = replace(load_model(folder), contract=self.contract)
        table, costs = evaluate_cases(model, read_cases(self.cohort, self.cases))
        return table, resources(costs)


def offer(
    lab: Lab, rules: Register, source: Source, evaluation: Evaluation, *, run_id: str, tests: HeldOut
) -> str:
    """Register and judge; one at a time, or two candidates could both take one champion's place.

    Where the registry is empty, the built-in model comes before, and what became of it is printed.

    Args:
        lab: whose registry it is.
        rules: the registered model's name, and the gate's rules.
        source: what the version is made from.
        evaluation: of this model on the test cases.
        run_id: the run that trained it.
        tests: the test cases, for models that were not tested on them.

    Returns:
        As `register`.
    """
    with lab.alone("registry", waiting="register: another process is registering a version"):
        client = connect(lab)
        if rules.builtin and not Versions(client, rules.name).any():
            line = register_builtin(
                client,
                params=rules,
                package=source.package,
                cases=tests.cases,
                judge=tests.judge,
                keep=keep_packaged,
            )
            print(f"register: the model that comes with glioseg: {line}", flush=True)
        return register(
            client,
            params=rules,
            source=source,
            run_id=run_id,
            evaluation=evaluation,
            keep=keep_lineage,
            score=lambda folder: tests.judge(folder)[0],
        )

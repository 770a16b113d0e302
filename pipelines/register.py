"""Stage register: offer the evaluated model to the registry, once; then say what to do with it."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from _stage import PACKAGE, run
from glioseg.eval.table import dice_table
from glioseg.lab.addresses import Lab
from glioseg.lab.promotion.candidate import Evaluation, Source, already, marks, measured
from glioseg.lab.promotion.known import champion_version, known_version
from glioseg.params import load_params
from glioseg.params.promotion import Register

if TYPE_CHECKING:
    import pandas as pd

COHORT, SPLITS = Path("data/raw/cohort.csv"), Path("data/splits.json")
MODEL, REPORTS = Path("models/settled"), Path("reports")
NEXT = """
pictures         reports/pictures, reports/report.html
compare runs     make ui       http://127.0.0.1:5000
serve the model  make serve    http://127.0.0.1:8000
segment a case   .venv/bin/glioseg predict CASE_FOLDER -o seg.nii.gz"""


def main() -> None:
    rules, lab = load_params().register_, Lab.here()
    metrics = json.loads((REPORTS / "metrics.json").read_text())
    source = Source(sorted(MODEL.iterdir()), PACKAGE)
    cases = json.loads(SPLITS.read_text())["test"]
    resources = json.loads((REPORTS / "resources.json").read_text())
    evaluation = Evaluation(REPORTS / "per_case.csv", cases, measured=measured(metrics, resources))
    if known := known_version(lab.database, name=rules.name, tags=marks(source, evaluation, rules)):
        line = already(known, champion_version(lab.database, name=rules.name))
    else:
        line = offer(lab, rules, source, evaluation)
    print(f"register: {rules.name} {line}\n\n{dice_table(metrics)}")
    print(NEXT)


def offer(lab: Lab, rules: Register, source: Source, evaluation: Evaluation) -> str:
    """Register and judge; one at a time, or two candidates could both take one champion's place."""
    from glioseg.lab.promotion.first import register_builtin  # MLflow takes seconds to import
    from glioseg.lab.promotion.registry import register
    from glioseg.lab.proof.keeping import keep_lineage
    from glioseg.lab.proof.packaged import keep_packaged
    from glioseg.lab.tracking import connect

    run_id = json.loads((REPORTS / "settle/model.json").read_text())["run_id"]
    with lab.alone("registry", waiting="register: another process is registering a version"):
        client = connect(lab)
        if rules.builtin and (
            line := register_builtin(
                client,
                params=rules,
                package=PACKAGE,
                cases=evaluation.cases,
                judge=judge,
                keep=keep_packaged,
            )
        ):
            print(f"register: the model that comes with glioseg: {line}", flush=True)
        return register(
            client,
            params=rules,
            source=source,
            run_id=run_id,
            evaluation=evaluation,
            keep=keep_lineage,
            score=lambda folder: judge(folder)[0],
        )


def judge(folder: Path) -> tuple["pd.DataFrame", dict[str, float]]:
    """Evaluate a model folder on the test cases: asked of a champion that was tested on others, or never."""
    from glioseg.data.cases import read_cases
    from glioseg.eval.cases import evaluate_cases
    from glioseg.eval.resources import resources
    from glioseg.nets.inference import load_model

    tests = json.loads(SPLITS.read_text())["test"]
    table, costs = evaluate_cases(load_model(folder), read_cases(COHORT, tests))
    return table, resources(costs)


if __name__ == "__main__":
    run(main)

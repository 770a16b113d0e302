"""Stage register: offer the evaluated model to the registry, once; then say what to do with it."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from _stage import PACKAGE, run
from glioseg.eval.table import dice_table
from glioseg.lab.addresses import Lab
from glioseg.lab.candidate import Evaluation, Source, marks
from glioseg.lab.known import champion_version, known_version
from glioseg.params import load_params

if TYPE_CHECKING:
    import pandas as pd

COHORT, SPLITS = Path("data/raw/cohort.csv"), Path("data/splits.json")
MODEL, REPORTS = Path("models/settled"), Path("reports")
NEXT = """
pictures         reports/pictures, reports/report.html
compare runs     make ui       http://127.0.0.1:5000
serve the model  make serve    http://127.0.0.1:5001
segment a case   .venv/bin/glioseg predict CASE_FOLDER -o seg.nii.gz"""


def main() -> None:
    params, lab = load_params().register_, Lab.here()
    source = Source(sorted(MODEL.iterdir()), PACKAGE)
    evaluation = Evaluation(REPORTS / "per_case.csv", json.loads(SPLITS.read_text())["test"])
    if known := known_version(lab.database, name=params.name, tags=marks(source, evaluation)):
        champion = champion_version(lab.database, name=params.name)
        line = f"version {known} is this model already; the champion is version {champion}"
    else:
        from glioseg.lab.registry import register  # MLflow takes seconds to import
        from glioseg.lab.tracking import connect

        run_id = json.loads((REPORTS / "settle/model.json").read_text())["run_id"]
        line = register(
            connect(lab), params=params, source=source, run_id=run_id, evaluation=evaluation, score=score
        )
    metrics = json.loads((REPORTS / "metrics.json").read_text())
    print(f"register: {params.name} {line}\n\n{dice_table(metrics)}")
    print(NEXT)


def score(folder: Path) -> "pd.DataFrame":
    """Evaluate a model folder on the test cases: asked where a champion was tested on others."""
    from glioseg.data.cases import read_cases
    from glioseg.eval.cases import evaluate_cases
    from glioseg.nets.inference import load_model

    tests = json.loads(SPLITS.read_text())["test"]
    return evaluate_cases(load_model(folder).answer, read_cases(COHORT, tests))


if __name__ == "__main__":
    run(main)

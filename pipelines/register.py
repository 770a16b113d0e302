"""Stage register: offer the evaluated model to the registry, once; then say what to do with it."""

from pathlib import Path

from _stage import PACKAGE, run
from glioseg.core.files import read_json
from glioseg.evaluation.table import dice_table
from glioseg.mlops.tracking.candidate import Evaluation, Source, already, marks, measured
from glioseg.mlops.tracking.model_uri import champion_version, known_version
from glioseg.mlops.tracking.storage import Lab
from glioseg.params import load_params
from glioseg.params.contract import CONTRACT, load_contract

COHORT, SPLITS = Path("data/raw/cohort.csv"), Path("data/splits.json")
MODEL, REPORTS = Path("models/calibrated"), Path("reports")
NEXT = """
pictures         reports/pictures, reports/report.html
compare runs     make ui       http://127.0.0.1:5000
serve the model  make serve    http://127.0.0.1:8000
segment a case   .venv/bin/glioseg predict CASE_FOLDER -o seg.nii.gz"""


def main() -> None:
    rules, lab = load_params().register_, Lab.here()
    metrics = read_json(REPORTS / "metrics.json")
    source = Source(sorted(MODEL.iterdir()), PACKAGE)
    cases = read_json(SPLITS)["test"]
    resources = read_json(REPORTS / "resources.json")
    code = read_json(REPORTS / "evaluation.json")["metric_code_sha256"]
    evaluation = Evaluation(REPORTS / "per_case.csv", cases, measured(metrics, resources), code)
    if known := known_version(lab.database, name=rules.name, tags=marks(source, evaluation, rules)):
        line = already(known, champion_version(lab.database, name=rules.name))
    else:
        from glioseg.mlops.registry.register import HeldOut, offer  # MLflow takes seconds to import

        run_id = read_json(REPORTS / "calibrate/model.json")["run_id"]
        tests = HeldOut(COHORT, cases, load_contract(Path(CONTRACT)))
        line = offer(lab, rules, source, evaluation, run_id=run_id, tests=tests)
    print(f"register: {rules.name} {line}\n\n{dice_table(metrics)}")
    print(NEXT)


if __name__ == "__main__":
    run(main)

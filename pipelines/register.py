"""Stage register: register the evaluated model unless it is registered, and print the next steps."""

from pathlib import Path

from _stage import PACKAGE, run
from glioseg.core.files import read_json
from glioseg.evaluation.summary import dice_table
from glioseg.mlops.registry.candidate import Evaluation, already_registered, gate_measures, identifying_tags
from glioseg.mlops.tracking.model_files import ModelFiles
from glioseg.mlops.tracking.model_uri import champion_version, find_version
from glioseg.mlops.tracking.storage import ProjectStorage
from glioseg.params import load_params
from glioseg.params.contract import CONTRACT, load_contract

COHORT, SPLITS = Path("data/raw/cohort.csv"), Path("data/splits.json")
MODEL, REPORTS = Path("models/calibrated"), Path("reports")
NEXT_STEPS = """
pictures         reports/pictures, reports/report.html
compare runs     make ui       http://127.0.0.1:5000
serve the model  make serve    http://127.0.0.1:8000
segment a case   .venv/bin/glioseg predict CASE_FOLDER -o seg.nii.gz"""


def main() -> None:
    settings, storage = load_params().register_, ProjectStorage.current()
    metrics = read_json(REPORTS / "metrics.json")
    model_files = ModelFiles(sorted(MODEL.iterdir()), PACKAGE)
    cases = read_json(SPLITS)["test"]
    resources = read_json(REPORTS / "resources.json")
    code = read_json(REPORTS / "evaluation.json")["metric_code_sha256"]
    evaluation = Evaluation(REPORTS / "per_case.csv", cases, gate_measures(metrics, resources), code)
    if registered := find_version(
        storage.database, name=settings.name, tags=identifying_tags(model_files, evaluation, settings)
    ):
        line = already_registered(registered, champion_version(storage.database, name=settings.name))
    else:
        from glioseg.mlops.registry.register import (  # imports MLflow, which takes seconds
            HeldOutCases,
            register_candidate,
        )

        run_id = read_json(REPORTS / "calibrate/model.json")["run_id"]
        tests = HeldOutCases(COHORT, cases, load_contract(Path(CONTRACT)))
        line = register_candidate(storage, settings, model_files, evaluation, run_id=run_id, tests=tests)
    print(f"register: {settings.name} {line}\n\n{dice_table(metrics)}")
    print(NEXT_STEPS)


if __name__ == "__main__":
    run(main)

"""Stage tune: search for better settings, each trial a short training."""

import json
from pathlib import Path

from _stage import run
from glioseg.data.store import StoredCase
from glioseg.lab.addresses import Lab
from glioseg.lab.lineage import data_version
from glioseg.lab.objective import ShortTraining
from glioseg.lab.search import search, study_name, write_study
from glioseg.lab.tracking import connect
from glioseg.lab.trials import log_study, study_log
from glioseg.params import load_params

CROPPED, SPLITS, OUT = Path("data/cropped"), Path("data/splits.json"), Path("reports/tune")


def main() -> None:
    params, lab = load_params(), Lab.here()
    splits = json.loads(SPLITS.read_text())
    parts = {part: [StoredCase(CROPPED / case) for case in splits[part]] for part in ("train", "validation")}
    trial = ShortTraining(params, parts["train"], parts["validation"])
    tune = params.tune.model_dump(mode="json")
    name = study_name(data_version=data_version(), space=tune["space"], fixed=trial.fixed)
    client = connect(lab)
    counts = {part: len(cases) for part, cases in parts.items()}
    with study_log(client, name=name, settings={"tune": tune}, cases=counts, describe=trial.settings) as log:
        study = search(
            lab=lab, name=name, tune=params.tune, first=trial.default, objective=trial, observer=log
        )
        write_study(study, OUT, title=f"glioseg {name}")
        best, number = study.best_value, study.best_trial.number
        log_study(client, log.parent_id, best=best, best_trial=number, folder=OUT)
    print(f"tune: best Dice {best:.3f} in trial {number}: {json.dumps(study.best_params)}")


if __name__ == "__main__":
    run(main)

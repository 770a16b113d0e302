"""Stage tune: search for better settings, each trial a short training."""

import json
from pathlib import Path

from _stage import run
from glioseg.data.splits import training_parts
from glioseg.data.store import open_cases
from glioseg.files import write_whole
from glioseg.lab.addresses import Lab
from glioseg.lab.fetch import weights_file
from glioseg.lab.lineage import data_version
from glioseg.lab.objective import ShortTraining
from glioseg.lab.search import search, study_name, write_study
from glioseg.lab.tracking import connect
from glioseg.lab.trials import log_study, study_log
from glioseg.nets.targets import require_outcomes
from glioseg.params import Params, load_params

CROPPED, RAW = Path("data/cropped"), Path("data/raw")
SPLITS, OUT = Path("data/splits.json"), Path("reports/tune")


def main() -> None:
    params = load_params()
    if params.tune.trials:
        study(params)
    else:
        write_whole(OUT / "best_params.json", b"{}\n")
        print("tune: no trial is asked for, the settings of params.yaml stand")


def study(params: Params) -> None:
    lab = Lab.here()
    client = connect(lab)
    splits, raw = json.loads(SPLITS.read_text()), RAW if params.crop.on_the_fly else None
    parts = {part: open_cases(CROPPED, splits[part], raw=raw) for part in ("train", "validation")}
    training_parts(splits, folds=params.train.folds)  # or train would refuse them after all trials
    init = weights_file(params.train.init_from)
    require_outcomes(parts["train"], params.train.outputs)
    trial = ShortTraining(params, parts["train"], parts["validation"], init)
    tune = params.tune.model_dump(mode="json")
    name = study_name(data_version=data_version(), space=tune["space"], fixed=trial.fixed)
    counts = {part: len(cases) for part, cases in parts.items()}
    with study_log(client, name=name, settings={"tune": tune}, cases=counts, describe=trial.settings) as log:
        found = search(
            lab=lab, name=name, tune=params.tune, first=trial.default, objective=trial, observer=log
        )
        write_study(found, OUT, title=f"glioseg {name}")
        best, number = found.best_value, found.best_trial.number
        log_study(client, log.parent_id, best=best, best_trial=number, folder=OUT)
    print(f"tune: best Dice {best:.3f} in trial {number}: {json.dumps(found.best_params)}")


if __name__ == "__main__":
    run(main)

"""Stage tune: search for better settings, each trial a short training."""

import json
from pathlib import Path

from _stage import run
from glioseg.core.files import write_whole
from glioseg.mlops.tuning import best_trial, ending, write_study
from glioseg.mlops.tuning.mlflow_trials import log_study
from glioseg.mlops.tuning.worker import work
from glioseg.params import Params, load_params

OUT = Path("reports/tune")


def main() -> None:
    params = load_params()
    if params.tune.trials:
        study(params)
    else:
        write_whole(OUT / "best_params.json", b"{}\n")
        print("tune: no trial is asked for, the settings of params.yaml stand")


def study(params: Params) -> None:
    done = work(params)
    write_study(done.study, OUT, title=f"glioseg {done.study.study_name}")
    best = best_trial(done.study)
    identity = {"study": done.study.study_name, "trial": best.number, "run_id": done.parent_id}
    write_whole(OUT / "study.json", json.dumps(identity, indent=2).encode() + b"\n")
    log_study(done.client, done.parent_id, best=ending(best).measures, best_trial=best.number, folder=OUT)
    print(f"tune: best Dice {best.values[0]:.3f} in trial {best.number}: {json.dumps(best.params)}")


if __name__ == "__main__":
    run(main)

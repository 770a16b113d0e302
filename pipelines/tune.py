"""Stage tune: search for better settings; each trial is a short training."""

import json
from pathlib import Path

from _stage import run
from glioseg.core.files import write_atomic
from glioseg.mlops.tuning import best_trial, trial_result, write_study
from glioseg.mlops.tuning.mlflow_trials import log_study_result
from glioseg.mlops.tuning.worker import work_on_study
from glioseg.params import Params, load_params

OUT = Path("reports/tune")


def main() -> None:
    params = load_params()
    if params.tune.trials:
        run_study(params)
    else:
        write_atomic(OUT / "best_params.json", b"{}\n")
        print("tune: tune.trials is 0: the settings of params.yaml are used")


def run_study(params: Params) -> None:
    done = work_on_study(params)
    write_study(done.study, OUT, title=f"glioseg {done.study.study_name}")
    best = best_trial(done.study)
    identity = {"study": done.study.study_name, "trial": best.number, "run_id": done.parent_id}
    write_atomic(OUT / "study.json", json.dumps(identity, indent=2).encode() + b"\n")
    log_study_result(
        done.client, done.parent_id, best=trial_result(best).measures, best_trial=best.number, folder=OUT
    )
    print(f"tune: best Dice {best.values[0]:.3f} in trial {best.number}: {json.dumps(best.params)}")


if __name__ == "__main__":
    run(main)

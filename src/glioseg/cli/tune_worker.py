"""`glioseg tune-worker`: help to run the trials of a study."""

import sys

from glioseg.params import load_params
from glioseg.settings_file import ParamsError


def tune_worker() -> None:
    """Work on the study of the present params.yaml, data and code until it is finished.

    Start it in a folder of the project as often as there are processors to keep busy, while `dvc repro`
    runs the stage tune or before. Other machines need GLIOSEG_DATABASE_URL, and the same commit and data.
    """
    try:
        params = load_params()
        if not params.tune.trials:
            raise ParamsError("params.yaml: tune.trials: expected at least 1, got 0")
        from glioseg.lab.tuning import work  # MLflow, Optuna: only once the settings are sound

        study = work(params).study
    except KeyboardInterrupt:
        sys.exit("stopped; another worker, or this one started again, goes on")
    except (ValueError, OSError) as error:
        sys.exit(f"glioseg tune-worker: {error}")
    print(f"tune-worker: {study.study_name} is finished")

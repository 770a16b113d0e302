"""`glioseg` with an arithmetic study instead of that of params.yaml; its trials wait for a signal file."""

import os
import sys

from glioseg.cli import app
from glioseg.mlops.tracking.storage import ProjectStorage
from tests.helpers import studies

TRIALS = 5


def work() -> None:
    """Run trials until the study has `TRIALS` finished ones."""
    tune = studies.TUNE.model_copy(update={"trials": TRIALS})
    studies.run(ProjectStorage.current(), studies.until_go_on, tune, os.environ["STUDY"])


if __name__ == "__main__":
    # Other processes can import `work` under this module's name, not as `__main__.work`.
    from tests.helpers.study_command import work as importable

    sys.modules["glioseg.cli.tune_worker"].run_trials = importable
    app()

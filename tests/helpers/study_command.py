"""`glioseg` with a study of arithmetic in the place of that of params.yaml: its trials wait to be told."""

import os
import sys

from glioseg.cli import app
from glioseg.mlops.tracking.storage import Lab
from tests.helpers import studies

TRIALS = 5


def work() -> None:
    """Run trials until the study has as many as were asked for."""
    tune = studies.TUNE.model_copy(update={"trials": TRIALS})
    studies.run(Lab.here(), studies.until_told, tune, os.environ["STUDY"])


if __name__ == "__main__":
    from tests.helpers.study_command import work as elsewhere  # by a name that other processes know

    sys.modules["glioseg.cli.tune_worker"].work_here = elsewhere
    app()

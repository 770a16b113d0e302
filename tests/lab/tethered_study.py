"""A tune worker on a study of arithmetic, in the place of `glioseg tune-worker`: trials wait to be told."""

import os

import studies

from glioseg.cli import tethered
from glioseg.lab.addresses import Lab

TRIALS = 5


def work(words: object) -> None:
    """Run trials until the study has as many as were asked for."""
    tune = studies.TUNE.model_copy(update={"trials": TRIALS})
    studies.run(Lab.here(), studies.until_told, tune, os.environ["STUDY"])


if __name__ == "__main__":
    tethered.app = work
    tethered.main()

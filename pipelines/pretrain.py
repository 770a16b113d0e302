"""Train the built-in model in phases, and put it into the package (`make pretrain`; takes hours)."""

from pathlib import Path

from _stage import run
from glioseg.mlops.tracking.storage import ProjectStorage
from glioseg.models import builtin
from glioseg.params.pretraining import load_pretraining

SETTINGS = Path("pipelines/pretrain.yaml")


def main() -> None:
    plan = load_pretraining(SETTINGS)
    from glioseg.mlops.pretraining import (  # imports TensorFlow after the settings are checked
        publish,
        train_phases,
    )

    publish(plan, train_phases(plan, ProjectStorage.current()))
    print(f"pretrain: the built-in model is in {builtin.FOLDER}")


if __name__ == "__main__":
    run(main)

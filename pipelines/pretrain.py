"""Train the built-in model, piece by piece, and put it into the package: `make pretrain`, hours."""

from pathlib import Path

from _stage import run
from glioseg.mlops.tracking.storage import Lab
from glioseg.models import builtin
from glioseg.params.pretraining import load_pretraining

SETTINGS = Path("pipelines/pretrain.yaml")


def main() -> None:
    plan = load_pretraining(SETTINGS)
    from glioseg.mlops.pretraining import (  # TensorFlow: only once the settings are sound
        publish,
        train_pieces,
    )

    publish(plan, train_pieces(plan, Lab.here()))
    print(f"pretrain: the built-in model is in {builtin.FOLDER}")


if __name__ == "__main__":
    run(main)

"""Train the built-in model, piece by piece, and put it into the package: `make pretrain`, hours."""

from pathlib import Path

from _stage import run
from glioseg import builtin
from glioseg.lab.addresses import Lab
from glioseg.params.pretraining import load_pretraining

SETTINGS = Path("pipelines/pretrain.yaml")


def main() -> None:
    plan = load_pretraining(SETTINGS)
    from glioseg.lab.pretraining import publish, train_pieces  # TensorFlow: only once the settings are sound

    publish(plan, train_pieces(plan, Lab.here()))
    print(f"pretrain: the built-in model is in {builtin.FOLDER}")


if __name__ == "__main__":
    run(main)

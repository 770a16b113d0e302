"""Stage initial_weights: note which weights training starts from, so that it starts anew from others."""

from _stage import run
from glioseg.mlops.tracking.initial_weights import note_weights
from glioseg.params import load_params


def main() -> None:
    print(f"initial_weights: {note_weights(load_params().train.init_from)}")


if __name__ == "__main__":
    run(main)

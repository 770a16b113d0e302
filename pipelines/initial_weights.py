"""Stage initial_weights: record the hash of the initial weights, so that DVC trains again if they change."""

from _stage import run
from glioseg.mlops.tracking.initial_weights import record_initial_weights
from glioseg.params import load_params


def main() -> None:
    print(f"initial_weights: {record_initial_weights(load_params().train.init_from)}")


if __name__ == "__main__":
    run(main)

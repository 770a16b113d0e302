"""Calibrate the confidence of the built-in model on labelled real cases (`make calibrate-builtin CASES=…`).

It stores coefficients and the names of the cases. A case takes three minutes on two cores.
"""

import sys
from pathlib import Path

from _stage import run


def main() -> None:
    from glioseg.mlops.pretraining import calibrate_on_real_cases  # imports TensorFlow

    for line in calibrate_on_real_cases([Path(folder) for folder in sys.argv[1:]]):
        print(f"calibrate the built-in model: {line}")


if __name__ == "__main__":
    run(main)

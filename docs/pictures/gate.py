"""Draw the figure of the promotion gate for two simulated models: `python docs/pictures/gate.py`.

The Dice values are random numbers. The new model is better on the whole tumour, equal on the core, and much
worse on the enhancing tumour in two of forty cases. The picture is written beside this script.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from glioseg.mlops.registry.gate import CHAMPION_ROLE, Baseline, decide
from glioseg.mlops.registry.gate_report import decision_table, draw_gate_figure
from glioseg.params import load_params

CASES = 40
GAINS = {"dice_wt": 0.012, "dice_tc": 0.0, "dice_et": 0.004}
SPREADS = {"dice_wt": 0.02, "dice_tc": 0.03, "dice_et": 0.03}
LOST = {3: 0.28, 17: 0.2}


def main() -> None:
    rng = np.random.default_rng(6)
    names = [f"case {number:02d}" for number in range(CASES)]
    old = pd.DataFrame({"case": names} | {name: rng.beta(18, 3, CASES) for name in GAINS})
    new = old.copy()
    for name, gain in GAINS.items():
        new[name] += rng.normal(gain, SPREADS[name], CASES)
    for row, dice in LOST.items():
        new.loc[row, "dice_et"] -= dice
    baselines = [Baseline("4", CHAMPION_ROLE, old)]
    decision = decide(new, baselines, rules=load_params().register_, measured={"calibration_error": 0.004})
    Path(__file__).with_suffix(".png").write_bytes(
        draw_gate_figure(decision, title="Version 6 against the champion, version 4")
    )
    print(decision.reason, decision_table(decision), sep="\n\n")


if __name__ == "__main__":
    main()

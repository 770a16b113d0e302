"""The spread of Dice over cases as a chart."""

from io import BytesIO

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from glioseg.eval.columns import column

SHOWN = {"WT": "WT", "TC": "TC", "ET": "ET", "label_NCR": "NCR", "label_ED": "ED"}
"""Structures and their names in the chart; the label ET is the region ET."""

DOT, BOX, MEAN = "#2f6fb7", "#5b6675", "#c2410c"


def dice_chart(table: pd.DataFrame) -> bytes:
    """Draw a dot for each case and a box (quartiles, whiskers to the extremes) for each structure.

    Args:
        table: one row a case, with the Dice columns of `metrics.case_metrics`.

    Returns:
        An SVG file; the same table always gives the same bytes.
    """
    values = [table[column("dice", structure)].to_numpy(np.float64) for structure in SHOWN]
    # Matplotlib's settings, for this figure alone: text stays text and ids do not change.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "glioseg", "font.size": 11}):
        figure = Figure(figsize=(7.2, 3.6), layout="constrained")
        axes = figure.subplots()
        line = {"color": BOX, "linewidth": 1.2}
        axes.boxplot(
            values,
            whis=(0, 100),
            widths=0.5,
            boxprops=line,
            whiskerprops=line,
            capprops=line,
            medianprops={"color": BOX, "linewidth": 2.2},
        )
        rng = np.random.default_rng(0)
        for place, dice in enumerate(values, 1):
            shift = rng.uniform(-0.14, 0.14, len(dice))
            axes.scatter(place + shift, dice, s=26, color=DOT, alpha=0.75, linewidths=0, zorder=3)
            axes.scatter([place], [dice.mean()], s=54, marker="D", color=MEAN, zorder=4)
        axes.set_xticks(range(1, len(SHOWN) + 1), list(SHOWN.values()))
        axes.set_ylim(-0.03, 1.03)
        axes.set_ylabel("Dice")
        axes.grid(axis="y", color="#d8dde4", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        file = BytesIO()
        figure.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()

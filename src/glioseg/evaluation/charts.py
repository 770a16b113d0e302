"""Charts of the Dice over cases, and of the risk–coverage curves, as SVG."""

from contextlib import AbstractContextManager
from io import BytesIO

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from glioseg.core.labels import REGIONS
from glioseg.evaluation.columns import column
from glioseg.evaluation.risk_coverage import curves

SHOWN = {"WT": "WT", "TC": "TC", "ET": "ET", "label_NCR": "NCR", "label_ED": "ED"}
"""Structures and their names in the chart; the label ET is the region ET."""

ORDERS = {
    "confidence": ("by confidence", {"color": "#2f6fb7", "marker": "o", "markersize": 3.5, "linewidth": 1.8}),
    "ideal": ("by true Dice (ideal)", {"color": "#5b6675", "linestyle": "--", "linewidth": 1.4}),
    "random": ("in random order", {"color": "#c2410c", "linestyle": ":", "linewidth": 1.8}),
}
"""Legend and line style of each risk–coverage curve; the styles are distinguishable without colours."""

DOT, BOX, MEAN = "#2f6fb7", "#5b6675", "#c2410c"


def dice_chart(table: pd.DataFrame) -> bytes:
    """A chart with a dot for each case and a box (quartiles, whiskers to the extremes) for each structure.

    Args:
        table: one row for each case, with the Dice columns of `metrics.case_metrics`.

    Returns:
        An SVG file; the same table gives the same bytes.
    """
    values = [table[column("dice", structure)].to_numpy(np.float64) for structure in SHOWN]
    with _style():
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
        return _svg(figure)


def risk_coverage_chart(table: pd.DataFrame) -> bytes:
    """A chart of the risk–coverage curves of each region.

    Args:
        table: one row for each case, with `dice_wt`, `confidence_wt`, ….

    Returns:
        An SVG file; the same table gives the same bytes.
    """
    with _style():
        figure = Figure(figsize=(7.2, 3.0), layout="constrained")
        for place, (axes, region) in enumerate(zip(figure.subplots(1, 3, sharey=True), REGIONS, strict=True)):
            for order, risk in curves(table, region).items():
                name, line = ORDERS[order]
                coverage_percent = 100 * np.arange(1, len(risk) + 1) / max(len(risk), 1)
                axes.plot(coverage_percent, risk, label=name if place == 0 else None, **line)
            axes.set_title(region, fontsize=11)
            axes.set_xlabel("most confident cases, %")
            axes.grid(color="#d8dde4", linewidth=0.8)
            axes.spines[["top", "right"]].set_visible(False)
        figure.axes[0].set_ylim(bottom=0)
        figure.axes[0].set_ylabel("risk: 1 − mean Dice")
        figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=9.5)
        return _svg(figure)


def _style() -> AbstractContextManager[None]:
    """Matplotlib settings for one figure: text is not converted to paths; ids are the same in every run."""
    return matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "glioseg", "font.size": 11})


def _svg(figure: Figure) -> bytes:
    file = BytesIO()
    figure.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()

"""The gate's picture: what each test case gained or lost, and how sure the mean is."""

from io import BytesIO
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from glioseg.evaluation.charts import BOX, DOT
from glioseg.mlops.registry.gate import Comparison, Paired, Rival, Verdict

GOOD, BAD = "#15803d", "#b91c1c"
SMALL: dict[str, Any] = {
    "fontsize": 8.5,
    "color": BOX,
    "bbox": {"facecolor": "white", "edgecolor": "none", "pad": 1},
}
NAMES = {"mean": "mean of\nthe three"}


def draw_differences(verdict: Verdict, *, title: str) -> bytes:
    """Draw the paired differences by region, and the interval of their mean beside the margin.

    There is a row of panels for each version that was compared with.

    Args:
        verdict: with at least one comparison.
        title: which versions are compared.

    Returns:
        A PNG file.
    """
    with matplotlib.rc_context({"font.size": 10}):
        count = len(verdict.against)
        figure = Figure(figsize=(9.6, 4.6 * count), layout="constrained", dpi=110)
        panels = figure.subplots(count, 2, sharey=True, squeeze=False, width_ratios=(5, 4))
        for (left, right), each in zip(panels, verdict.against, strict=True):
            _draw(left, right, each)
        passed = "passes" if verdict.promoted else "does not pass"
        figure.suptitle(f"{title}: it {passed}", x=0.01, ha="left", fontsize=12)
        file = BytesIO()
        figure.savefig(file, format="png")
    return file.getvalue()


def _draw(left: Axes, right: Axes, each: Paired) -> None:
    for place, found in enumerate(each.comparisons):
        _cases(left, place, each.cases[each.cases["region"] == found.region])
        _interval(right, place, found)
    regions = [NAMES.get(found.region, found.region) for found in each.comparisons]
    left.set_yticks(range(len(regions)), regions)
    left.set_ylim(len(regions) - 0.4, -0.6)
    _finish(left, "each test case, the worst by name", each.rival)
    _finish(right, "their mean with its interval; a red line is the margin", each.rival)


def _cases(axes: Axes, place: int, rows: pd.DataFrame) -> None:
    """A dot for each case, moved up or down a little so that each is seen."""
    rows = rows.sort_values("difference")
    differences = rows["difference"].to_numpy(np.float64)
    places = place + np.random.default_rng(0).uniform(-0.16, 0.16, len(rows))
    axes.scatter(differences, places, s=22, color=DOT, alpha=0.7, linewidths=0, zorder=3)
    if differences[0] < 0:
        worst = differences[0], places[0]
        where = {**SMALL, "xytext": (0, -12), "textcoords": "offset points", "ha": "center"}
        axes.annotate(str(rows["case"].iloc[0]), worst, **where)


def _interval(axes: Axes, place: int, found: Comparison) -> None:
    """The mean, its bounds, and a red line that the lower bound may not pass."""
    colour = GOOD if found.passed else BAD
    axes.plot([-found.margin] * 2, [place - 0.14, place + 0.42], color=BAD, linewidth=1.6)
    axes.plot([found.low, found.high], [place + 0.14] * 2, color=colour, linewidth=5, solid_capstyle="butt")
    axes.scatter(
        [found.difference], [place + 0.14], s=60, marker="D", color=colour, edgecolor="white", zorder=4
    )
    words = f"{found.difference:+.4f}, lower bound {found.low:+.4f}, margin {found.margin:g}"
    axes.text(0.5, place - 0.28, words, transform=axes.get_yaxis_transform(), ha="center", **SMALL)


def _finish(axes: Axes, title: str, rival: Rival) -> None:
    axes.axvline(0, color=BOX, linewidth=1)
    axes.set_title(title, loc="left", fontsize=10)
    axes.set_xlabel(f"Dice of the new version minus Dice of {rival.role}")
    axes.margins(x=0.12)
    axes.grid(axis="x", color="#d8dde4", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)

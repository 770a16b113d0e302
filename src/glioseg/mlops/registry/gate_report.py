"""The gate's decision as a table for the terminal, and as files and a figure beside the version."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from glioseg.evaluation.charts import BOX, DOT
from glioseg.mlops.registry.gate import (
    BEST_ROLE,
    Baseline,
    BaselineComparison,
    GateDecision,
    RegionComparison,
)
from glioseg.mlops.registry.versions import Versions
from glioseg.mlops.tracking.mlflow_runs import experiment_id, has_run
from glioseg.params.sections import Register

GATE_FOLDER = "gate"
"""The folder of a decision's files among the artifacts of a model and of a run."""
GOOD, BAD = "#15803d", "#b91c1c"
SMALL: dict[str, Any] = {
    "fontsize": 8.5,
    "color": BOX,
    "bbox": {"facecolor": "white", "edgecolor": "none", "pad": 1},
}
NAMES = {"mean": "mean of\nthe three"}


def decision_table(decision: GateDecision) -> str:
    """A line per region and a line per limit; empty if nothing was compared.

    Args:
        decision: from `gate.decide`.
    """
    lines = []
    for each in decision.comparisons:
        baseline = "best" if each.baseline.role == BEST_ROLE else "champion"
        lines.append(f"{'gate':6}{baseline:>10}{'new':>8}{'difference':>13}{'lower bound':>14}{'margin':>9}")
        lines += map(_line, each.regions)
    lines += [f"{limit}{_result(limit.passed)}" for limit in decision.limits]
    return "\n".join(lines)


def _line(region: RegionComparison) -> str:
    numbers = f"{region.baseline:10.3f}{region.candidate:8.3f}{region.difference:+13.4f}{region.low:+14.4f}"
    return f"{region.region:6}{numbers}{region.margin:9g}{_result(region.passed)}"


def _result(passed: bool) -> str:
    return "" if passed else "  does not pass"


def log_gate_files(
    versions: Versions, decision: GateDecision, *, rules: Register, names: Mapping[str, str]
) -> None:
    """Log the decision's files with the version's model, and with the run that shows this model in MLflow.

    Args:
        versions: of the registered model.
        decision: from `gate.decide`.
        rules: the rules that the decision followed.
        names: `version`, `compared_with` and `decision`, the decision in one line.
    """
    model_id = versions.model_id(names["version"])
    with TemporaryDirectory() as folder:
        write_gate_files(Path(folder), decision, rules=rules, names=names)
        versions.client.log_model_artifacts(model_id, folder, GATE_FOLDER)
        if run_id := _run_of_model(versions, names["version"], model_id):
            versions.client.log_artifacts(run_id, folder, GATE_FOLDER)


def _run_of_model(versions: Versions, version: str, model_id: str) -> str | None:
    """The newest evaluation run of the model, else its training run, else None."""
    client = versions.client
    found = client.search_runs([experiment_id(client, "evaluate")], f"tags.model_id = '{model_id}'")
    trained = versions.tags(version).get("trained_run")
    return found[0].info.run_id if found else trained if has_run(client, trained) else None


def write_gate_files(
    folder: Path, decision: GateDecision, *, rules: Register, names: Mapping[str, str]
) -> None:
    """Write `decision.json` and, if a baseline was compared, `cases.csv` and `differences.png`.

    Args:
        folder: an empty folder.
        decision: from `gate.decide`.
        rules: the rules that the decision followed.
        names: `version`, `compared_with` and `decision`, the decision in one line.
    """
    record = {
        **names,
        "promoted": decision.promoted,
        "rules": rules.model_dump(mode="json"),
        "compared": [
            {
                "version": each.baseline.version,
                "role": each.baseline.role,
                "regions": [asdict(region) for region in each.regions],
            }
            for each in decision.comparisons
        ],
        "remarks": list(decision.remarks),
        "limits": [asdict(limit) for limit in decision.limits],
    }
    (folder / "decision.json").write_text(json.dumps(record, indent=2) + "\n")
    if decision.comparisons:
        cases = [each.cases.assign(compared_with=each.baseline.version) for each in decision.comparisons]
        pd.concat(cases).to_csv(folder / "cases.csv", index=False)
        baselines = " and ".join(str(each.baseline) for each in decision.comparisons)
        title = f"Version {names['version']} against {baselines}"
        (folder / "differences.png").write_bytes(draw_gate_figure(decision, title=title))


def draw_gate_figure(decision: GateDecision, *, title: str) -> bytes:
    """Draw the paired differences by region, and the interval of their mean beside the margin.

    Each baseline has its own row of panels.

    Args:
        decision: with at least one comparison.
        title: names the versions that are compared.

    Returns:
        A PNG file.
    """
    with matplotlib.rc_context({"font.size": 10}):
        count = len(decision.comparisons)
        figure = Figure(figsize=(9.6, 4.6 * count), layout="constrained", dpi=110)
        panels = figure.subplots(count, 2, sharey=True, squeeze=False, width_ratios=(5, 4))
        for (left, right), each in zip(panels, decision.comparisons, strict=True):
            _draw_panels(left, right, each)
        passed = "passes" if decision.promoted else "does not pass"
        figure.suptitle(f"{title}: it {passed}", x=0.01, ha="left", fontsize=12)
        file = BytesIO()
        figure.savefig(file, format="png")
    return file.getvalue()


def _draw_panels(left: Axes, right: Axes, each: BaselineComparison) -> None:
    for row, region in enumerate(each.regions):
        _draw_cases(left, row, each.cases[each.cases["region"] == region.region])
        _draw_interval(right, row, region)
    names = [NAMES.get(region.region, region.region) for region in each.regions]
    left.set_yticks(range(len(names)), names)
    left.set_ylim(len(names) - 0.4, -0.6)
    _finish(left, "each test case, the worst by name", each.baseline)
    _finish(right, "mean with its interval; a red line is the margin", each.baseline)


def _draw_cases(axes: Axes, row: int, cases: pd.DataFrame) -> None:
    """Draw a dot for each case, with a little vertical jitter so that dots do not hide each other."""
    cases = cases.sort_values("difference")
    differences = cases["difference"].to_numpy(np.float64)
    heights = row + np.random.default_rng(0).uniform(-0.16, 0.16, len(cases))
    axes.scatter(differences, heights, s=22, color=DOT, alpha=0.7, linewidths=0, zorder=3)
    if differences[0] < 0:
        worst = differences[0], heights[0]
        style = {**SMALL, "xytext": (0, -12), "textcoords": "offset points", "ha": "center"}
        axes.annotate(str(cases["case"].iloc[0]), worst, **style)


def _draw_interval(axes: Axes, row: int, region: RegionComparison) -> None:
    """Draw the mean difference, its bounds, and the margin as a red line; a lower bound left of it fails."""
    colour = GOOD if region.passed else BAD
    axes.plot([-region.margin] * 2, [row - 0.14, row + 0.42], color=BAD, linewidth=1.6)
    axes.plot([region.low, region.high], [row + 0.14] * 2, color=colour, linewidth=5, solid_capstyle="butt")
    axes.scatter(
        [region.difference], [row + 0.14], s=60, marker="D", color=colour, edgecolor="white", zorder=4
    )
    text = f"{region.difference:+.4f}, lower bound {region.low:+.4f}, margin {region.margin:g}"
    axes.text(0.5, row - 0.28, text, transform=axes.get_yaxis_transform(), ha="center", **SMALL)


def _finish(axes: Axes, title: str, baseline: Baseline) -> None:
    axes.axvline(0, color=BOX, linewidth=1)
    axes.set_title(title, loc="left", fontsize=10)
    axes.set_xlabel(f"Dice of the new version minus Dice of {baseline.role}")
    axes.margins(x=0.12)
    axes.grid(axis="x", color="#d8dde4", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)

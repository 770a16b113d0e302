"""The lineage as a figure: arrows lead from settings, data and code to the training, and to the version."""

import textwrap
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from glioseg.core.files import write_atomic
from glioseg.mlops.provenance.lineage import LineageEntry

Position = tuple[int, int]
"""Column and row."""
POSITIONS: Mapping[str, Position] = {
    "evaluation run": (0, 0),
    "registered version": (1, 0),
    "recorded files": (2, 0),
    "parameters": (0, 1),
    "training run": (1, 1),
    "git commit": (2, 1),
    "trial": (0, 2),
    "split": (1, 2),
    "environment": (2, 2),
    "study": (0, 3),
    "cropped data": (1, 3),
    "validation of cropped data": (2, 3),
    "raw data": (1, 4),
    "validation of raw data": (2, 4),
}
"""The position of each entry of a version that a project's stages made."""
BUILTIN_POSITIONS: Mapping[str, Position] = {
    "evaluation run": (0, 0),
    "registered version": (1, 0),
    "recorded files": (2, 0),
    "validation data": (0, 1),
    "calibration": (1, 1),
    "confidence": (2, 1),
    "training": (1, 2),
    "git commit": (2, 2),
    "data": (1, 3),
    "environment": (2, 3),
}
"""The position of each entry of the built-in model."""

ARROWS = (
    ("evaluation run", "registered version"),
    ("recorded files", "registered version"),
    ("training run", "registered version"),
    ("parameters", "training run"),
    ("trial", "parameters"),
    ("study", "trial"),
    ("split", "training run"),
    ("cropped data", "split"),
    ("raw data", "cropped data"),
    ("validation of cropped data", "cropped data"),
    ("validation of raw data", "raw data"),
    ("git commit", "training run"),
    ("environment", "git commit"),
    ("calibration", "registered version"),
    ("confidence", "registered version"),
    ("training", "calibration"),
    ("training", "confidence"),
    ("validation data", "calibration"),
    ("data", "training"),
    ("git commit", "training"),
)
"""From cause to result; an arrow is drawn if both entries are present."""

COLOURS = {
    "registered version": "#1f4e79",
    "training run": "#2f6fb0",
    "training": "#2f6fb0",
    "calibration": "#7a5195",
    "confidence": "#7a5195",
    "evaluation run": "#2f6fb0",
    "recorded files": "#2f6fb0",
    "parameters": "#7a5195",
    "trial": "#7a5195",
    "study": "#7a5195",
    "git commit": "#5b6675",
    "environment": "#5b6675",
}
DATA_COLOUR, MISSING_COLOUR = "#2e7d5b", "#b3261e"
COLUMNS = 3
WIDTH, HEIGHT, STEP_X, STEP_Y = 3.5, 0.98, 4.1, 1.42
MAX_LINES, LINE_WIDTH, TINT = 3, 46, 0.06


def draw_lineage(entries: Sequence[LineageEntry], path: Path, *, title: str) -> None:
    """Draw the lineage; a missing entry is a dashed red box with the reason.

    Args:
        entries: from `trace_lineage`.
        path: the file to write; its ending, .svg or .png, chooses the format.
        title: the title of the figure.
    """
    positions = place(entries)
    columns, rows = (1 + max(position[axis] for position in positions.values()) for axis in (0, 1))
    width, height = STEP_X * columns, STEP_Y * rows + 0.4
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    axes.text(width / 2, 0.3, title, ha="center", va="center", size=15, weight="bold", color="#1b222c")
    for start, end in ARROWS:
        if start in positions and end in positions:
            _arrow(axes, positions[start], positions[end])
    for entry in entries:
        _box(axes, entry, positions[entry.name])
    # Without a date, and with fixed instead of random identifiers, the same lineage gives the same file.
    date, drawn = {"Date": None} if path.suffix == ".svg" else {}, BytesIO()
    with mpl.rc_context({"svg.hashsalt": "glioseg"}):
        figure.savefig(drawn, format=path.suffix[1:], dpi=130, facecolor="white", metadata=date)
    write_atomic(path, drawn.getvalue())


def place(entries: Sequence[LineageEntry]) -> dict[str, Position]:
    """The position of each entry; entries without a place in the figure get rows below it.

    >>> place([LineageEntry("training run", "", ""), LineageEntry("licence", "", "")])
    {'training run': (1, 1), 'licence': (0, 2)}
    """
    names = [entry.name for entry in entries]
    layouts = (POSITIONS, BUILTIN_POSITIONS)
    layout = max(layouts, key=lambda positions: sum(name in positions for name in names))
    placed = {name: layout[name] for name in names if name in layout}
    below = 1 + max((row for _, row in placed.values()), default=-1)
    others = [name for name in names if name not in placed]
    return placed | {name: (index % COLUMNS, below + index // COLUMNS) for index, name in enumerate(others)}


def _centre(position: Position) -> tuple[float, float]:
    column, row = position
    return STEP_X * (column + 0.5), STEP_Y * (row + 0.5) + 0.45


def _arrow(axes: Axes, start: Position, end: Position) -> None:
    """Draw an arrow from cause to result, from edge to edge of their boxes."""
    (x0, y0), (x1, y1) = _centre(start), _centre(end)
    if y0 == y1:
        side = 1 if x1 > x0 else -1
        points = (x0 + side * WIDTH / 2, y0), (x1 - side * WIDTH / 2, y1)
    else:
        points = (x0, y0 - HEIGHT / 2), (x1, y1 + HEIGHT / 2)
    arrow = FancyArrowPatch(*points, arrowstyle="-|>", mutation_scale=14, color="#8a95a3", linewidth=1.4)
    axes.add_patch(arrow)


def _box(axes: Axes, entry: LineageEntry, position: Position) -> None:
    x, y = _centre(position)
    colour = MISSING_COLOUR if entry.missing else COLOURS.get(entry.name, DATA_COLOUR)
    corner = (x - WIDTH / 2, y - HEIGHT / 2)
    box = FancyBboxPatch(
        corner,
        WIDTH,
        HEIGHT,
        boxstyle="round,pad=0,rounding_size=0.12",
        facecolor=to_rgba(colour, TINT),
        edgecolor=colour,
        linestyle="--" if entry.missing else "-",
        linewidth=1.6,
    )
    axes.add_patch(box)
    heading = f"{entry.name}: missing" if entry.missing else entry.name
    axes.text(
        x, y - HEIGHT / 2 + 0.18, heading, ha="center", va="center", size=10, weight="bold", color=colour
    )
    text = "\n".join(_wrap(entry.missing or entry.value))
    axes.text(x, y + 0.13, text, ha="center", va="center", size=8, color="#1b222c", linespacing=1.25)


def _wrap(text: str) -> list[str]:
    """Wrap a text to a few lines; a longer text is cut, and a long hash is shortened."""
    short = " ".join(word if len(word) < 20 else f"{word[:10]}…" for word in text.split())
    return textwrap.wrap(short, LINE_WIDTH, max_lines=MAX_LINES, placeholder=" …", break_on_hyphens=False)

"""The learning curve as a picture: what a run shows without opening its charts."""

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure


def draw_curves(history: pd.DataFrame, path: Path) -> None:
    """Draw the losses, and the validation Dice of each region, by epoch.

    Args:
        history: columns epoch, loss, val_loss and val_dice*, one row an epoch.
        path: the PNG file to write.
    """
    figure = Figure(figsize=(9, 3.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axes, title, columns in (
        (left, "loss", ["loss", "val_loss"]),
        (right, "validation Dice", [name for name in history if str(name).startswith("val_dice")]),
    ):
        for column in columns:
            axes.plot(history["epoch"], history[column], label=column, marker=".")
        axes.set(title=title, xlabel="epoch")
        axes.legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)

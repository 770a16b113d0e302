"""The learning curve as a picture: what a run shows without opening its charts."""

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure


def draw_curves(history: pd.DataFrame, path: Path) -> None:
    """Draw the losses, and the validation Dice of each region, by epoch; folds in the same colours.

    Args:
        history: columns fold, epoch, loss, val_loss and val_dice*, one row an epoch and fold.
        path: the PNG file to write.
    """
    figure = Figure(figsize=(9, 3.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axes, title, columns in (
        (left, "loss", ["loss", "val_loss"]),
        (right, "validation Dice", [name for name in history if str(name).startswith("val_dice")]),
    ):
        for number, column in enumerate(columns):
            for fold, part in history.groupby("fold"):
                label = column if fold == 0 else None
                axes.plot(part["epoch"], part[column], f"C{number}.-", label=label)
        axes.set(title=title, xlabel="epoch")
        axes.legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)

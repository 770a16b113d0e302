"""`glioseg forecast`: what more training cases would bring."""

from pathlib import Path

from glioseg.core.errors import one_line_errors
from glioseg.core.files import read_json
from glioseg.mlops.tracking.storage import ProjectStorage
from glioseg.params import load_params, with_best_params

BEST = Path("reports/tune/best_params.json")
TABLE, FIGURE = Path("reports/forecast/dice.csv"), Path("reports/forecast/curve.png")
MORE = (2, 4, 8, 16)
"""Numbers of additional training cases."""


def forecast() -> None:
    """Forecast the Dice that more training cases would bring, after `dvc repro` with preset adapt.

    The command trains on a quarter, half and all of the training cases of each fold, fits a power law to the
    Dice of the cases that each fold leaves out, and writes reports/forecast. It takes about as long as three
    trainings for each fold; if it is interrupted, it continues when it is started again.
    """
    with one_line_errors("glioseg forecast"):
        # These modules import MLflow and matplotlib, which takes seconds.
        from glioseg.evaluation.learning_curve import draw_learning_curve
        from glioseg.evaluation.learning_curve import forecast as forecast_change
        from glioseg.mlops.forecast import measure_learning_curve

        params = with_best_params(load_params(), read_json(BEST))
        curve = measure_learning_curve(params, TABLE, ProjectStorage.current())
        cases, dice = [int(count) for count in curve.columns], curve.to_numpy()
        options = params.evaluate
        found = forecast_change(cases, dice, more=MORE, samples=options.bootstrap_samples, seed=options.seed)
        draw_learning_curve(cases, dice, FIGURE, most=cases[-1] + MORE[-1])
    for count, mean in zip(cases, dice.mean(axis=0), strict=True):
        print(f"{count} training cases: Dice {mean:.3f}, mean of {len(dice)} cases that were left out")
    for line in found:
        print(line)
    print(f"figure: {FIGURE}")

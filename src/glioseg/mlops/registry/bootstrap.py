"""The first version of a new registry: the model that comes with glioseg, for the gate to compare with."""

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
from mlflow import MlflowClient

from glioseg.mlops.registry.mlflow_registry import Keep, register
from glioseg.mlops.registry.rivals import PER_CASE, worst_calibration_error
from glioseg.mlops.tracking.candidate import Evaluation, Source
from glioseg.models.builtin import builtin_model
from glioseg.params.promotion import Register

ELSEWHERE = "none: trained before it came with glioseg"
"""In the place of a run."""

Judge = Callable[[Path], tuple[pd.DataFrame, dict[str, float]]]
"""Evaluates a model folder on the test cases: a table as from `evaluate_cases`, seconds and memory."""


def register_builtin(
    client: MlflowClient, *, params: Register, package: Path, cases: Sequence[str], judge: Judge, keep: Keep
) -> str:
    """Register the built-in model: it becomes champion if it keeps the gate's limits.

    Args:
        client: as from `tracking.connect`.
        params: the registered model's name, and the gate's rules.
        package: glioseg's own folder.
        cases: names of the test cases.
        judge: evaluates it on them.
        keep: as for `register`.

    Returns:
        As `register`.
    """
    folder = builtin_model()
    table, resources = judge(folder)
    error = worst_calibration_error(table)
    with TemporaryDirectory() as aside:
        per_case = Path(aside) / PER_CASE
        table.to_csv(per_case, index=False)
        return register(
            client,
            params=params,
            source=Source(sorted(folder.iterdir()), package),
            run_id=ELSEWHERE,
            evaluation=Evaluation(per_case, cases, {"calibration_error": error, **resources}),
            keep=keep,
            score=lambda other: judge(other)[0],
        )

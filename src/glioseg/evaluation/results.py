"""What an evaluation comes to: its numbers, and the files that hold them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from glioseg.core.files import write_whole
from glioseg.data.cohort.cases import Case
from glioseg.evaluation.outcomes import outcome_scores
from glioseg.evaluation.risk_coverage import selective_scores
from glioseg.evaluation.summary import headline, summarise
from glioseg.params.sections import Evaluate

METRICS, SCORES, RESOURCES, PER_CASE = "metrics.json", "scores.json", "resources.json", "per_case.csv"
PAGE, EVALUATION = "report.html", "evaluation.json"


def all_metrics(table: pd.DataFrame, asked: Evaluate, *, training: Sequence[Case]) -> dict[str, Any]:
    """The metrics of a table of cases: see `summarise`, `selective_scores` and `outcome_scores`.

    Args:
        table: a row a case, as `judge_cases` gives it.
        asked: how they are summarised.
        training: the cases that the model learned from, for the baselines of outcomes.
    """
    summary = summarise(table, samples=asked.bootstrap_samples, seed=asked.seed)
    return summary | selective_scores(table) | outcome_scores(table, training=training)


def write_results(
    folder: Path,
    *,
    table: pd.DataFrame,
    metrics: Mapping[str, Any],
    resources: Mapping[str, float],
    page: str,
    metric_code: str,
) -> None:
    """Write the table, the metrics with their headline, what answers cost, the report, the code's hash."""
    numbers = {METRICS: metrics, SCORES: headline(metrics), RESOURCES: resources}
    numbers[EVALUATION] = {"metric_code_sha256": metric_code}
    texts = {name: json.dumps(each, indent=2, allow_nan=False) + "\n" for name, each in numbers.items()}
    texts |= {PER_CASE: table.to_csv(index=False), PAGE: page}
    for name, text in texts.items():
        write_whole(folder / name, text.encode())

"""The files of an evaluation: metrics, table, and a self-contained HTML report with the worst cases first."""

import base64
import json
from collections.abc import Hashable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from PIL import Image

from glioseg.core.errors import GliosegError
from glioseg.core.files import write_atomic
from glioseg.core.labels import REGIONS
from glioseg.core.modalities import MODALITIES
from glioseg.data.cohort.cases import Case
from glioseg.evaluation.case_pictures import PLANES_FILE, PREDICTION_FILE, TRUTH_FILE
from glioseg.evaluation.charts import dice_chart, risk_coverage_chart
from glioseg.evaluation.columns import METRICS, REGION_METRICS, STRUCTURES, column
from glioseg.evaluation.outcomes import outcome_scores
from glioseg.evaluation.risk_coverage import risk_coverage_scores
from glioseg.evaluation.summary import headline, summarise
from glioseg.evaluation.surface import TOLERANCE_MM
from glioseg.models.inference.prediction import percent
from glioseg.params.sections import Evaluate

METRICS_FILE, SCORES_FILE, RESOURCES_FILE, PER_CASE_FILE = (
    "metrics.json",
    "scores.json",
    "resources.json",
    "per_case.csv",
)
REPORT_FILE, EVALUATION_FILE = "report.html", "evaluation.json"
LOGGED_FILES = (METRICS_FILE, PER_CASE_FILE, REPORT_FILE, EVALUATION_FILE)
"""The files that are logged to MLflow."""

WEBP_QUALITY = 86
METRIC_NAMES = {
    "dice": "Dice",
    "hd95_area_mm": "HD95, mm",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
}
REGION_NAMES = {
    "lesion_dice": "Dice",
    "lesion_hd95_area_mm": "HD95, mm",
    "surface_dice": f"Dice at {TOLERANCE_MM:g} mm",
    "truth_ml": "true",
    "predicted_ml": "predicted",
}
COUNTS = ("lesions", "missed_lesions", "false_lesions")
OUTCOME_NAMES = {
    "grade": {"auc": "Area under the ROC curve", "balanced_accuracy": "Balanced accuracy at 0.5"},
    "survival": {
        "accuracy": "Accuracy in three classes",
        "spearman": "Spearman's rank correlation",
        "mse_days2": "Mean squared error, days²",
    },
}
SEED_NAMES = {"seed_dice": "Dice, all labels at once", "seed_weighted_dice": "Dice, mean of the labels"}


def write_report(
    table: pd.DataFrame,
    summary: Mapping[str, object],
    *,
    pictures: Path,
    origin: Mapping[str, str],
    params: Mapping[str, object],
) -> str:
    """The HTML of the report, with embedded pictures and no reference to other files.

    Args:
        table: one row for each case, worst first, as from `per_case.measure_cases`.
        summary: as from `all_metrics`; with `modality_subsets` (see `modality_subsets.subset_dice`) if
            computed.
        pictures: the folder of the cases' pictures.
        origin: origin of data and model, as text by name, e.g. the data's hash.
        params: settings by dotted name.
    """
    loader = jinja2.PackageLoader("glioseg.evaluation")
    template = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    level = summary.get("volume_interval_level")
    return template.get_template("report.html").render(
        regions=list(REGIONS),
        structures={name: name.replace("label_", "label ") for name in STRUCTURES},
        metrics=METRIC_NAMES,
        region_metrics=REGION_NAMES,
        counts={m: {name: int(table[column(m, name)].sum()) for name in REGIONS} for m in COUNTS},
        outcomes={name: lines for name, lines in OUTCOME_NAMES.items() if name in summary},
        modalities=MODALITIES,
        seeds=SEED_NAMES,
        summary=summary,
        rows=[_row(str(case), row.to_dict(), pictures) for case, row in table.set_index("case").iterrows()],
        chart=data_uri("image/svg+xml", dice_chart(table)),
        selective=data_uri("image/svg+xml", risk_coverage_chart(table)) if "risk_coverage" in summary else "",
        origin=origin,
        params=params,
        level=percent(level) if isinstance(level, float) else "",
    )


def _row(case: str, row: Mapping[Hashable, Any], pictures: Path) -> dict[str, object]:
    optional = [m for m in ("low_ml", "high_ml", "confidence") if column(m, "WT") in row]
    regional = (*REGION_METRICS, *optional)
    return {
        "case": case,
        "mean": row["mean_dice"],
        "values": {m: {name: row[column(m, name)] for name in STRUCTURES} for m in METRICS}
        | {m: {name: row[column(m, name)] for name in REGIONS} for m in regional},
        "low_confidence_reasons": row.get("low_confidence_reasons", ""),
        "outcomes": _outcomes(row),
        "planes": webp_uri(pictures / PLANES_FILE.format(case)),
        "truth": data_uri("image/gif", (pictures / TRUTH_FILE.format(case)).read_bytes()),
        "prediction": data_uri("image/gif", (pictures / PREDICTION_FILE.format(case)).read_bytes()),
    }


def _outcomes(row: Mapping[Hashable, Any]) -> list[str]:
    """Predicted and true grade and survival, as text."""
    lines = []
    if "grade_lgg" in row:
        known = row["grade"] if pd.notna(row["grade"]) else "not known"
        lines.append(f"low grade with probability {row['grade_lgg']:.2f}, truth {known}")
    if "survival_days_predicted" in row:
        known = f"{row['survival_days']:.0f} days" if pd.notna(row["survival_days"]) else "not known"
        lines.append(f"survival {row['survival_days_predicted']:.0f} days, truth {known}")
    return lines


def webp_uri(path: Path) -> str:
    """A data URI of a picture, as WebP.

    Raises:
        GliosegError: the file is not a picture, or it is truncated.
    """
    file = BytesIO()
    try:
        Image.open(path).save(file, "WEBP", quality=WEBP_QUALITY)
    except OSError as error:
        if error.filename is not None:
            raise
        raise GliosegError(f"{path}: not a whole picture: {error}") from None
    return data_uri("image/webp", file.getvalue())


def data_uri(kind: str, content: bytes) -> str:
    """A data URI of a file's content.

    >>> data_uri("text/plain", b"hi")
    'data:text/plain;base64,aGk='
    """
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def all_metrics(table: pd.DataFrame, options: Evaluate, *, training: Sequence[Case]) -> dict[str, Any]:
    """All metrics of a table of cases: `summarise`, `risk_coverage_scores` and `outcome_scores`.

    Args:
        table: one row for each case, as from `per_case.measure_cases`.
        options: options of the bootstrap.
        training: the training cases of the model, for the baselines of outcomes.
    """
    summary = summarise(table, samples=options.bootstrap_samples, seed=options.seed)
    return summary | risk_coverage_scores(table) | outcome_scores(table, training=training)


def write_results(
    folder: Path,
    *,
    table: pd.DataFrame,
    metrics: Mapping[str, Any],
    resources: Mapping[str, float],
    page: str,
    metric_code: str,
) -> None:
    """Write the table, all metrics, the headline metrics, the costs, the report, and the code's hash."""
    numbers = {METRICS_FILE: metrics, SCORES_FILE: headline(metrics), RESOURCES_FILE: resources}
    numbers[EVALUATION_FILE] = {"metric_code_sha256": metric_code}
    texts = {name: json.dumps(each, indent=2, allow_nan=False) + "\n" for name, each in numbers.items()}
    texts |= {PER_CASE_FILE: table.to_csv(index=False), REPORT_FILE: page}
    for name, text in texts.items():
        write_atomic(folder / name, text.encode())

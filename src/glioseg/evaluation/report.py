"""The report: one HTML file that holds all that it shows, worst cases first."""

import base64
from collections.abc import Hashable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from PIL import Image

from glioseg.core.errors import GliosegError
from glioseg.core.labels import REGIONS
from glioseg.core.modalities import MODALITIES
from glioseg.evaluation.case_pictures import PLANES, PREDICTION, TRUTH
from glioseg.evaluation.charts import dice_chart, selective_chart
from glioseg.evaluation.columns import METRICS, REGION_METRICS, STRUCTURES, column
from glioseg.evaluation.surface_dice import TOLERANCE_MM
from glioseg.models.inference.prediction import percent

WEBP_QUALITY = 86
METRIC_NAMES = {
    "dice": "Dice",
    "hd95_mm": "HD95, mm",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
}
REGION_NAMES = {
    "lesion_dice": "Dice",
    "lesion_hd95_mm": "HD95, mm",
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
    """Write the report's HTML: pictures are embedded, nothing is fetched from anywhere.

    Args:
        table: one row a case, worst first, as from `cases.judge_cases`.
        summary: as from `summary.summarise`; with `selective.selective_scores`, `outcomes.outcome_scores` and
            `modality_subsets` (see `subsets.subset_dice`) where there are any.
        pictures: the folder of the cases' pictures.
        origin: where data and model come from, a text to each name, e.g. the data's hash.
        params: settings, a value to each dotted name.
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
        selective=data_uri("image/svg+xml", selective_chart(table)) if "risk_coverage" in summary else "",
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
        "doubt": row.get("doubt", ""),
        "outcomes": _outcomes(row),
        "planes": webp_uri(pictures / PLANES.format(case)),
        "truth": data_uri("image/gif", (pictures / TRUTH.format(case)).read_bytes()),
        "prediction": data_uri("image/gif", (pictures / PREDICTION.format(case)).read_bytes()),
    }


def _outcomes(row: Mapping[Hashable, Any]) -> list[str]:
    """What the model says of grade and survival, each beside what is known."""
    lines = []
    if "grade_lgg" in row:
        known = row["grade"] if pd.notna(row["grade"]) else "not known"
        lines.append(f"low grade with probability {row['grade_lgg']:.2f}, truth {known}")
    if "survival_days_predicted" in row:
        known = f"{row['survival_days']:.0f} days" if pd.notna(row["survival_days"]) else "not known"
        lines.append(f"survival {row['survival_days_predicted']:.0f} days, truth {known}")
    return lines


def webp_uri(path: Path) -> str:
    """Put a picture into an address, as WebP.

    Raises:
        GliosegError: the file is no picture, or not a whole one.
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
    """Put a file's content into an address.

    >>> data_uri("text/plain", b"hi")
    'data:text/plain;base64,aGk='
    """
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"

"""The report: one HTML file that holds all that it shows, worst cases first."""

import base64
from collections.abc import Hashable, Mapping
from io import BytesIO
from pathlib import Path

import jinja2
import pandas as pd
from PIL import Image

from glioseg.eval.charts import dice_chart
from glioseg.eval.metrics import METRICS, STRUCTURES, column
from glioseg.eval.pictures import PLANES, PREDICTION, TRUTH
from glioseg.labels import REGIONS

WEBP_QUALITY = 86
METRIC_NAMES = {
    "dice": "Dice",
    "hd95_mm": "HD95, mm",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
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
        summary: as from `summary.summarise`.
        pictures: the folder of the cases' pictures.
        origin: where data and model come from, a text to each name, e.g. the data's hash.
        params: settings, a value to each dotted name.
    """
    loader = jinja2.PackageLoader("glioseg.eval")
    template = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    return template.get_template("report.html").render(
        regions=list(REGIONS),
        structures={name: name.replace("label_", "label ") for name in STRUCTURES},
        metrics=METRIC_NAMES,
        seeds=SEED_NAMES,
        summary=summary,
        rows=[_row(str(case), row.to_dict(), pictures) for case, row in table.set_index("case").iterrows()],
        chart=data_uri("image/svg+xml", dice_chart(table)),
        origin=origin,
        params=params,
    )


def _row(case: str, row: Mapping[Hashable, float], pictures: Path) -> dict[str, object]:
    return {
        "case": case,
        "mean": row["mean_dice"],
        "values": {m: {name: row[column(m, name)] for name in STRUCTURES} for m in METRICS},
        "planes": _webp(pictures / PLANES.format(case)),
        "truth": data_uri("image/gif", (pictures / TRUTH.format(case)).read_bytes()),
        "prediction": data_uri("image/gif", (pictures / PREDICTION.format(case)).read_bytes()),
    }


def _webp(path: Path) -> str:
    file = BytesIO()
    Image.open(path).save(file, "WEBP", quality=WEBP_QUALITY)
    return data_uri("image/webp", file.getvalue())


def data_uri(kind: str, content: bytes) -> str:
    """Put a file's content into an address.

    >>> data_uri("text/plain", b"hi")
    'data:text/plain;base64,aGk='
    """
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"

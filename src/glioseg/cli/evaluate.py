"""`glioseg evaluate`: score a folder of label maps against true ones."""

import csv
import io
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Annotated

import typer

from glioseg.cli.options import user_path
from glioseg.core.errors import GliosegError, one_line_errors
from glioseg.core.files import write_atomic
from glioseg.core.labels import REGIONS
from glioseg.core.modalities import SEGMENTATION
from glioseg.core.progress import track
from glioseg.data.cohort.file_names import CHANNEL, NIFTI_SUFFIX, is_derived, recognise
from glioseg.data.cohort.inventory import walk_files
from glioseg.evaluation.columns import column

COMMAND = "glioseg evaluate"
HEADS = {"dice": "Dice", "hd95_area_mm": "HD95"}
"""The metrics that are printed, and their names."""

Predictions = Annotated[
    Path,
    typer.Argument(callback=user_path, help="Predicted label map, or a folder of them: CASE.nii.gz."),
]
Truths = Annotated[
    Path,
    typer.Argument(
        callback=user_path,
        help="True label map, or a folder: CASE.nii.gz, or cases in the layout of BraTS.",
    ),
]
Output = Annotated[
    Path | None,
    typer.Option("-o", "--output", callback=user_path, help="CSV file for all metrics, with a row per case."),
]
Scheme = Annotated[
    str | None,
    typer.Option(
        show_default="the scheme of BraTS that the values tell",
        help="Label values of all maps: brats2021, brats2023, brats2024, brats_ped, msd, or a mapping such as"
        " '1=ET 2=NCR 4=ED'.",
    ),
]
Row = dict[str, str | float]
"""The name of a case, and its metrics."""

AsJson = Annotated[bool, typer.Option("--json", help="Print all metrics as JSON.")]


def evaluate(
    predictions: Predictions,
    truths: Truths,
    output: Output = None,
    scheme: Scheme = None,
    as_json: AsJson = False,
) -> None:
    """Score label maps against true ones: Dice, HD95, lesion-wise metrics of BraTS 2023 and more.

    The names of the files tell which prediction belongs to which true label map. Without a prediction for a
    true label map, the others are scored, and the exit code is 1.
    """
    with one_line_errors(COMMAND):
        pairs, missing = find_pairs(predictions, truths)
        from glioseg.api.score import evaluate as score  # SciPy and scikit-image take a second to import

        rows: list[Row] = [
            {"case": case, **score(*files, scheme=scheme)}
            for case, files in track(pairs.items(), title="evaluate", total=len(pairs))
        ]
        if output:
            write_atomic(output, _csv(rows).encode())
    print(json.dumps(rows, indent=1) if as_json else "\n".join(_lines(rows)))
    if missing:
        print(f"{COMMAND}: no prediction for {', '.join(missing)}", file=sys.stderr)
        sys.exit(1)


def find_pairs(predictions: Path, truths: Path) -> tuple[dict[str, tuple[Path, Path]], list[str]]:
    """The prediction and the true label map of each case, and the cases without a prediction.

    Args:
        predictions: a label map, or a folder of them.
        truths: the same.

    Raises:
        GliosegError: a folder or file does not exist or contains no label map, or no case has both.
    """
    if predictions.is_file() and truths.is_file():
        return {_case_name(truths): (predictions, truths)}, []
    predicted, true = _label_maps(predictions), _label_maps(truths)
    pairs = {case: (predicted[case], true[case]) for case in sorted(true.keys() & predicted.keys())}
    if not pairs:
        raise GliosegError(
            f"{predictions}: expected label maps of cases such as {min(true)}, as in {truths},"
            f" got {min(predicted)}"
        )
    return pairs, sorted(true.keys() - predicted.keys())


def _label_maps(folder: Path) -> dict[str, Path]:
    """The label maps of a folder by case; images of modalities, entropy maps and the like are left out.

    A case may have a name that ends like a channel of nnU-Net: patient_0001.nii.gz.
    """
    if not folder.is_dir():
        raise GliosegError(f"{folder}: expected a folder of label maps, found none")
    maps: dict[str, Path] = {}
    for file in _nifti_files(folder):
        case = _case_name(file)
        if other := maps.get(case):
            raise GliosegError(f"{case}: expected one label map, got {other} and {file}")
        maps[case] = file
    if not maps:
        raise GliosegError(f"{folder}: expected label maps (.nii.gz), found none")
    return maps


def _nifti_files(folder: Path) -> Iterator[Path]:
    for here, names in walk_files(folder):
        for name in sorted(names):
            known = recognise(name)
            is_map = known.role in (SEGMENTATION, CHANNEL) if known else not is_derived(name)
            if NIFTI_SUFFIX.search(name) and is_map:
                yield here / name


def _case_name(file: Path) -> str:
    """The case of a label map: CASE_seg.nii.gz, CASE.nii.gz, or CASE/seg.nii.gz."""
    known = recognise(file.name)
    if known and known.role == SEGMENTATION:
        return known.case or file.parent.name
    return NIFTI_SUFFIX.sub("", file.name)


def _csv(rows: Sequence[Row]) -> str:
    content = io.StringIO(newline="")
    writer = csv.DictWriter(content, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return content.getvalue()


def _lines(rows: Sequence[Row]) -> Iterator[str]:
    """A table of Dice and HD95 of the regions, with the mean of the cases below."""
    columns = [column(metric, region) for metric in HEADS for region in REGIONS]
    heads = [f"{head} {region}" for head in HEADS.values() for region in REGIONS]
    width = max(len("mean"), *(len(str(row["case"])) for row in rows))
    yield f"{'case':{width}}" + "".join(f"{head:>10}" for head in heads)
    mean = {name: fmean(float(row[name]) for row in rows) for name in columns}
    for row in (*rows, {"case": "mean"} | mean):
        yield f"{row['case']:{width}}" + "".join(f"{row[name]:>10.3f}" for name in columns)

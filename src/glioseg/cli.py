"""The `glioseg` command."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from glioseg.data.cases import MODALITIES, Case, find_cases
from glioseg.data.volumes import Volume, read_volume, write_volume
from glioseg.labels import to_scheme
from glioseg.nets.inference import Segmenter
from glioseg.progress import track

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

ScanFolder = Annotated[Path, typer.Argument(help="A folder with the files of one case, or of many cases.")]
Output = Annotated[
    Path, typer.Option("-o", "--output", help="The file to write; a folder where there are many cases.")
]
Model = Annotated[str, typer.Option(help="A registered model, or a folder that holds model.keras.")]


@app.callback()
def main() -> None:
    """glioseg: from brain MRI to a registered, served tumour-segmentation model."""


@app.command()
def predict(scans: ScanFolder, output: Output, model: Model = "models:/glioseg@champion") -> None:
    """Segment one case or a folder of cases, with or without a segmentation present.

    Labels follow the scheme of the case's own naming: enhancing tumour is 4 for `_t1ce` files
    (BraTS 2017 to 2021) and 3 for `-t1c` files (2023 on).
    """
    try:
        cases = find_cases(scans)
        single = len(cases) == 1 and output.name.endswith((".nii", ".nii.gz"))
        if not single and output.name.endswith((".nii", ".nii.gz")):
            raise ValueError(f"{output}: expected a folder to write {len(cases)} cases to")
        for case in cases:
            _check_whole(case)
        segmenter = _load(model)
        for case in track(cases, title="predict", total=len(cases)):
            target = output if single else output / f"{case.case}.nii.gz"
            _predict_case(segmenter, case, target)
            print(f"{case.case}: {target}")
    except (ValueError, OSError) as error:
        sys.exit(f"glioseg predict: {error}")


def _check_whole(case: Case) -> None:
    missing = [name for name in MODALITIES if name not in case.files]
    if missing:
        raise ValueError(f"{case.case}: expected {', '.join(MODALITIES)}, missing {', '.join(missing)}")


def _load(model: str) -> Segmenter:
    from glioseg.lab.registry import model_folder  # MLflow and TensorFlow load only once the input is sound
    from glioseg.nets.inference import load_model

    return load_model(model_folder(model))


def _predict_case(segmenter: Segmenter, case: Case, target: Path) -> None:
    images = {name: read_volume(case.files[name]) for name in MODALITIES}
    labels = to_scheme(segmenter.segment(images), case.scheme)
    write_volume(target, Volume(labels, images[MODALITIES[0]].grid))

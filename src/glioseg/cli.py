"""The `glioseg` command."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from glioseg.data.answers import Answer
from glioseg.data.cases import Case, find_cases
from glioseg.data.layouts import MODALITIES
from glioseg.data.scans import read_images
from glioseg.data.volumes import Volume, write_volume
from glioseg.labels import to_scheme
from glioseg.nets.inference import Segmenter
from glioseg.presets import apply_preset
from glioseg.progress import track

NIFTI = (".nii", ".nii.gz")
CHAMPION = "models:/glioseg@champion"

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

ScanFolder = Annotated[Path, typer.Argument(help="A folder with the files of one case, or of many cases.")]
Output = Annotated[
    Path, typer.Option("-o", "--output", help="The file to write; a folder where there are many cases.")
]
Models = Annotated[
    list[str],
    typer.Option(
        default_factory=lambda: [CHAMPION],
        show_default=CHAMPION,
        help="A registered model, or a folder that holds model.keras. Several together: their mean.",
    ),
]
Entropy = Annotated[
    bool, typer.Option("--entropy", help="Also write how unsure each voxel's label is: 0 to 2 bits.")
]
Mirror = Annotated[
    bool,
    typer.Option("--mirror", help="Average over the eight mirror images, which takes eight times as long."),
]
MemoryGb = Annotated[
    float | None,
    typer.Option(min=0, help="Memory to keep within, instead of the model's own inference.memory_gb."),
]


@app.callback()
def main() -> None:
    """glioseg: from brain MRI to a registered, served tumour-segmentation model."""


@app.command()
def preset(name: Annotated[str, typer.Argument(help="demo, seed or brats.")]) -> None:
    """Put a preset's settings into params.yaml; what it does not name stays as it is.

    demo: minutes on two CPU cores. seed: the 2018 project's own set-up. brats: a full BraTS cohort on a
    GPU.
    """
    try:
        changed = apply_preset(name)
    except (ValueError, OSError) as error:
        sys.exit(f"glioseg preset: {error}")
    print(f"params.yaml: {', '.join(changed) if changed else 'nothing to change'}")


@app.command()
def predict(
    scans: ScanFolder,
    output: Output,
    model: Models,
    entropy: Entropy = False,
    mirror: Mirror = False,
    memory_gb: MemoryGb = None,
) -> None:
    """Segment one case or a folder of cases, with or without a segmentation present.

    Any of the four modalities may be missing, but not all. Labels follow the scheme of the case's own
    layout: enhancing tumour is 4 for `_t1ce` files (BraTS 2017 to 2021) and 3 for `-t1c` files (2023
    on); of the Decathlon, oedema is 1, non-enhancing core 2 and enhancing tumour 3.
    """
    try:
        cases = find_cases(scans)
        targets = _targets(cases, output)
        incomplete = [case for case in cases if _missing(case)]
        segmenter = _load(model, mirror=mirror, memory_gb=memory_gb)
        if incomplete and not segmenter.settings.modality_dropout:
            print(
                "glioseg predict: warning: the model was trained with train.modality_dropout 0:"
                " where modalities are missing, expect worse labels",
                file=sys.stderr,
            )
        for case, target in track(list(zip(cases, targets, strict=True)), title="predict", total=len(cases)):
            answer = _predict_case(segmenter, case, target, entropy=entropy)
            print(f"{case.case}: {target}: {_summary(answer)}")
    except (ValueError, OSError) as error:
        sys.exit(f"glioseg predict: {error}")


def _targets(cases: Sequence[Case], output: Path) -> list[Path]:
    """The file to write for each case."""
    if not output.name.endswith(NIFTI):
        return [output / f"{case.case}.nii.gz" for case in cases]
    if len(cases) > 1:
        raise ValueError(f"{output}: expected a folder to write {len(cases)} cases to")
    return [output]


def _missing(case: Case) -> list[str]:
    missing = [name for name in MODALITIES if name not in case.files]
    if len(missing) == len(MODALITIES):
        raise ValueError(f"{case.case}: no modality: expected at least one of {', '.join(MODALITIES)}")
    return missing


def _load(models: Sequence[str], *, mirror: bool, memory_gb: float | None) -> Segmenter:
    from glioseg.lab.registry import model_folder  # MLflow and TensorFlow load only once the input is sound
    from glioseg.nets.inference import load_ensemble

    segmenter = load_ensemble([model_folder(model) for model in models])
    own = segmenter.settings
    settings = replace(
        own,
        mirror=mirror or own.mirror,
        memory_gb=own.memory_gb if memory_gb is None else memory_gb,
    )
    return replace(segmenter, settings=settings)


def _predict_case(segmenter: Segmenter, case: Case, target: Path, *, entropy: bool) -> Answer:
    images = read_images(case)
    grid = next(iter(images.values())).grid
    try:
        answer = segmenter.answer(images)
    except ValueError as error:
        raise ValueError(f"{case.case}: {error}") from None
    write_volume(target, Volume(to_scheme(answer.labels, case.scheme), grid))
    if entropy:
        end = next(end for end in reversed(NIFTI) if target.name.endswith(end))
        beside = target.with_name(f"{target.name.removesuffix(end)}_entropy{end}")
        write_volume(beside, Volume(answer.entropy_bits, grid))
    return answer


def _summary(answer: Answer) -> str:
    """One line: volumes with their intervals, outcomes where there are any, and what was missing."""
    parts = [
        f"{name} {volume.ml:.1f} ml ({volume.low_ml:.1f} to {volume.high_ml:.1f})"
        for name, volume in answer.volumes.items()
    ]
    if answer.grade_lgg is not None:
        parts.append(f"low grade {answer.grade_lgg:.0%}")
    if answer.survival_days is not None:
        parts.append(f"survival {answer.survival_days:.0f} days")
    if answer.missing:
        parts.append(f"missing {' and '.join(answer.missing)}")
    return ", ".join(parts)

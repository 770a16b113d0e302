"""`glioseg predict`: segment cases."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from glioseg.data.answers import Answer
from glioseg.data.cases import Case, find_cases
from glioseg.data.guard import check_case
from glioseg.data.layouts import MODALITIES
from glioseg.data.scans import open_scans
from glioseg.data.terms import CONTRACT, Contract, load_contract
from glioseg.data.volumes import Volume, write_volume
from glioseg.labels import to_scheme
from glioseg.nets.inference import Segmenter
from glioseg.progress import track

NIFTI = (".nii", ".nii.gz")
CHAMPION = "models:/glioseg@champion"

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

    A case that breaks the contract is named and skipped; the others are segmented, and the exit code is 1.
    """
    try:
        cases = find_cases(scans)
        targets = _targets(cases, output)
        todo = [(case, target) for case, target in zip(cases, targets, strict=True) if _has_images(case)]
        refused = len(cases) - len(todo)
        if todo:
            segmenter, contract = _load(model, mirror=mirror, memory_gb=memory_gb)
            _warn_of_missing([case for case, _ in todo], segmenter)
        for case, target in track(todo, title="predict", total=len(todo)):
            images = _sound_images(case, contract)
            if images is None:
                refused += 1
                continue
            answer = _predict_case(segmenter, case, images, target, entropy=entropy)
            print(f"{case.case}: {target}: {_summary(answer)}")
    except (ValueError, OSError) as error:
        sys.exit(f"glioseg predict: {error}")
    if refused:
        sys.exit(1)


def _targets(cases: Sequence[Case], output: Path) -> list[Path]:
    """The file to write for each case."""
    if not output.name.endswith(NIFTI):
        return [output / f"{case.case}.nii.gz" for case in cases]
    if len(cases) > 1:
        raise ValueError(f"{output}: expected a folder to write {len(cases)} cases to")
    return [output]


def _has_images(case: Case) -> bool:
    """Whether there is anything to segment; if not, it is said."""
    found = any(name in case.files for name in MODALITIES)
    if not found:
        _say(f"{case.case}: no modality: expected at least one of {', '.join(MODALITIES)}")
    return found


def _say(line: str) -> None:
    print(f"glioseg predict: {line}", file=sys.stderr)


def _warn_of_missing(cases: Sequence[Case], segmenter: Segmenter) -> None:
    incomplete = any(name not in case.files for case in cases for name in MODALITIES)
    if incomplete and not segmenter.settings.modality_dropout:
        _say(
            "warning: the model was trained with train.modality_dropout 0:"
            " where modalities are missing, expect worse labels"
        )


def _load(models: Sequence[str], *, mirror: bool, memory_gb: float | None) -> tuple[Segmenter, Contract]:
    """The models as one, and the contract of the first."""
    from glioseg.lab.fetch import model_folder  # MLflow and TensorFlow load only once the input is sound
    from glioseg.nets.inference import load_ensemble

    folders = [model_folder(model) for model in models]
    segmenter = load_ensemble(folders)
    own = segmenter.settings
    settings = replace(
        own,
        mirror=mirror or own.mirror,
        memory_gb=own.memory_gb if memory_gb is None else memory_gb,
    )
    return replace(segmenter, settings=settings), load_contract(folders[0] / CONTRACT)


def _sound_images(case: Case, contract: Contract) -> dict[str, Volume] | None:
    """The images of a case; None where the contract refuses one, which is said as a warning is."""
    scans = open_scans(case, MODALITIES)
    found = check_case(case, scans, contract)
    for finding in found:
        if finding.severity != "info":
            _say(f"warning: {finding}" if finding.severity == "warning" else str(finding))
    if any(finding.severity == "critical" for finding in found):
        return None
    return {role: scan.volume for role, scan in scans.items() if scan.volume is not None}


def _predict_case(
    segmenter: Segmenter, case: Case, images: Mapping[str, Volume], target: Path, *, entropy: bool
) -> Answer:
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

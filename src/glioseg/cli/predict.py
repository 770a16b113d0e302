"""`glioseg predict`: segment cases."""

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from glioseg.cli.engine import Engine, find_engine
from glioseg.cli.summary import refused_row, segmented_row
from glioseg.cli.work import Work, plan
from glioseg.data.answers import Answer
from glioseg.data.cases import Case, find_cases
from glioseg.data.guard import check_case
from glioseg.data.layouts import MODALITIES
from glioseg.data.scans import open_scans
from glioseg.data.verdict import Finding
from glioseg.data.volumes import Grid, Volume, write_volume
from glioseg.labels import to_scheme
from glioseg.nets.inference import Segmenter
from glioseg.progress import track

ScanFolder = Annotated[Path, typer.Argument(help="A folder with the files of one case, or of many cases.")]
Output = Annotated[
    Path, typer.Option("-o", "--output", help="The file to write; a folder where there are many cases.")
]
Models = Annotated[
    list[str] | None,
    typer.Option(
        show_default="models:/glioseg@champion, or builtin where there is none",
        help="A registered model, a folder that holds model.keras, or builtin. Several together: their mean.",
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
    model: Models = None,
    entropy: Entropy = False,
    mirror: Mirror = False,
    memory_gb: MemoryGb = None,
) -> None:
    """Segment one case or a folder of cases, with or without a segmentation present.

    Any of the four modalities may be missing, but not all. Labels follow the scheme of the case's own
    layout: enhancing tumour is 4 for `_t1ce` files (BraTS 2017 to 2021) and 3 for `-t1c` files (2023
    on); of the Decathlon, oedema is 1, non-enhancing core 2 and enhancing tumour 3.

    A case that breaks the contract is named and skipped; the others are segmented, and the exit code is 1.

    In a folder, summary.csv says of each case how it went. Called again, the command goes on where it
    stopped: it skips a case whose answer lies there and was made by this model, with these options, of these
    files.
    """
    try:
        cases = find_cases(scans)
        work = plan(cases, output, entropy=entropy)
        refused = _predict(cases, work, model or [], mirror=mirror, memory_gb=memory_gb)
    except (ValueError, OSError) as error:
        sys.exit(f"glioseg predict: {error}")
    if refused:
        sys.exit(1)


def _predict(
    cases: Sequence[Case], work: Work, models: Sequence[str], *, mirror: bool, memory_gb: float | None
) -> int:
    """Segment what is to be segmented; how many cases were refused."""
    sound = [case for case in cases if _has_images(case, work)]
    refused = len(cases) - len(sound)
    if not sound:
        return refused
    engine = find_engine(models, mirror=mirror, memory_gb=memory_gb)
    todo = work.left(sound, engine)
    if len(todo) < len(sound):
        print(f"{len(sound) - len(todo)} of {len(sound)} cases are finished already")
    if todo:
        segmenter = engine.load()
        _warn_of_missing(todo, segmenter)
        for case in track(todo, title="predict", total=len(todo)):
            refused += not _predict_case(segmenter, case, work, engine)
    return refused


def _has_images(case: Case, work: Work) -> bool:
    """Whether there is anything to segment; if not, it is said."""
    found = any(name in case.files for name in MODALITIES)
    if not found:
        error = f"{case.case}: no modality: expected at least one of {', '.join(MODALITIES)}"
        _say(error)
        work.keep(refused_row(case, error))
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


def _predict_case(segmenter: Segmenter, case: Case, work: Work, engine: Engine) -> bool:
    """Segment one case and write down how it went; whether the contract let it pass."""
    start = time.monotonic()
    content = work.made_of(case, engine)
    scans = open_scans(case, MODALITIES)
    found = _weighty(check_case(case, scans, engine.contract))
    critical = [str(finding) for finding in found if finding.severity == "critical"]
    if critical:
        work.keep(refused_row(case, "; ".join(critical)))
        return False
    images = {role: scan.volume for role, scan in scans.items() if scan.volume is not None}
    answer = _answer(segmenter, case, images)
    work.drop(case)
    _write(answer, case, next(iter(images.values())).grid, work.files(case))
    seconds = time.monotonic() - start
    work.keep(
        segmented_row(case, answer, model=engine.name, warnings=found, seconds=seconds, made_of=content)
    )
    print(f"{case.case}: {work.targets[case.case]}: {_summary(answer)}")
    return True


def _weighty(found: Sequence[Finding]) -> list[Finding]:
    """The findings that are more than a note, each of which is said."""
    weighty = [finding for finding in found if finding.severity != "info"]
    for finding in weighty:
        _say(f"warning: {finding}" if finding.severity == "warning" else str(finding))
    return weighty


def _answer(segmenter: Segmenter, case: Case, images: Mapping[str, Volume]) -> Answer:
    try:
        return segmenter.answer(images)
    except ValueError as error:
        raise ValueError(f"{case.case}: {error}") from None


def _write(answer: Answer, case: Case, grid: Grid, files: Sequence[Path]) -> None:
    arrays = (to_scheme(answer.labels, case.scheme), answer.entropy_bits)
    for file, array in zip(files, arrays, strict=False):
        write_volume(file, Volume(array, grid))


def _summary(answer: Answer) -> str:
    """One line: volumes with their intervals, outcomes where there are any, what was missing, and doubt."""
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
    if answer.doubt:
        parts.append(f"low confidence: {'; '.join(answer.doubt)}")
    return ", ".join(parts)

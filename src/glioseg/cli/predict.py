"""`glioseg predict`: the options of the command, and the loop over the cases."""

import sys
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from glioseg.cli.options import Address, Workers, cluster_from_options, user_path
from glioseg.cli.predict_case import CaseJob, JobSettings, Outcome, Row, refused_row, segment_case
from glioseg.cli.predict_job import JobPlan, ModelSource, find_models, plan_job
from glioseg.compute import Cluster
from glioseg.core.entry import was_interrupted
from glioseg.core.errors import GliosegError, one_line_errors
from glioseg.core.modalities import MODALITIES
from glioseg.core.progress import track
from glioseg.data.cohort.cases import Case
from glioseg.data.cohort.layouts import named_case, search_folder

ScanFolder = Annotated[
    Path | None,
    typer.Argument(callback=user_path, help="Folder with the files of one case, or of several cases."),
]
Output = Annotated[
    Path,
    typer.Option("-o", "--output", callback=user_path, help="File to write; for several cases, a folder."),
]
T1 = Annotated[
    Path | None, typer.Option("--t1", callback=user_path, help="T1 of one case, in place of a folder.")
]
T1CE = Annotated[Path | None, typer.Option("--t1ce", callback=user_path, help="T1 with contrast agent.")]
T2 = Annotated[Path | None, typer.Option("--t2", callback=user_path, help="T2.")]
FLAIR = Annotated[Path | None, typer.Option("--flair", callback=user_path, help="FLAIR.")]
Models = Annotated[
    list[str] | None,
    typer.Option(
        show_default="models:/glioseg@champion, or builtin if none is registered",
        help="Registered model, folder with a model.keras, builtin or builtin-synthetic."
        " Repeat it to average several models.",
    ),
]
Entropy = Annotated[
    bool, typer.Option("--entropy", help="Also write the entropy of each voxel's label, 0 to 2 bits.")
]
Mirror = Annotated[
    bool | None,
    typer.Option(
        show_default="the model's own setting",
        help="Average over the eight mirror images; the network then takes eight times as long.",
    ),
]
MemoryGb = Annotated[
    float | None,
    typer.Option(min=0, help="Memory budget; it replaces the model's own inference.memory_gb."),
]

Outcomes = Generator[Outcome, None, None]

SUMMARY_INTERVAL = 10
"""Minimum interval between summary writes on a cluster, as a multiple of the time that one write takes."""


def predict(
    output: Output,
    scans: ScanFolder = None,
    t1: T1 = None,
    t1ce: T1CE = None,
    t2: T2 = None,
    flair: FLAIR = None,
    model: Models = None,
    entropy: Entropy = False,
    mirror: Mirror = None,
    memory_gb: MemoryGb = None,
    cluster: Address = None,
    workers: Workers = None,
) -> None:
    """Segment one case or a folder of cases, with or without true segmentations.

    At least one of the four modalities must be present. The names of the files tell them apart, as in
    BraTS, UCSF-PDGM, UPENN-GBM, TCGA, BIDS, nnU-Net and the Decathlon; for other names, give the files of one
    case with --t1, --t1ce, --t2 and --flair. Labels follow the scheme of the case's own
    file names: enhancing tumour is 4 for `_t1ce` files (BraTS 2017 to 2021) and 3 for `-t1c` files (2023
    on); for Decathlon cases, oedema is 1, non-enhancing core 2 and enhancing tumour 3.

    A scan whose spacing differs from that of the training scans (usually 1 mm) is resampled for the network;
    the label map is written on the scan's own grid.

    A case that breaks the contract is reported and skipped, the others are segmented, and the exit code
    is 1.

    If the output is a folder, summary.csv has a row for each case. If the command is run again, it continues
    where it stopped: it skips each case whose prediction comes from the same files, model and options.

    With --cluster, each case is a task for the workers of a Dask cluster. The workers must have the scans and
    the output at the same paths; see docs/clusters.md.
    """
    with one_line_errors("glioseg predict"):
        where = cluster_from_options(cluster, workers)
        cases = _find_cases(scans, {"t1": t1, "t1ce": t1ce, "t2": t2, "flair": flair})
        plan = plan_job(cases, output, entropy=entropy)
        refused = _predict(cases, plan, model or [], where, mirror=mirror, memory_gb=memory_gb)
    if refused:
        sys.exit(1)


def _find_cases(scans: Path | None, files: Mapping[str, Path | None]) -> Sequence[Case]:
    """The cases of a folder, or the one whose files are named."""
    named = {role: file for role, file in files.items() if file is not None}
    if (scans is None) != bool(named):
        got = "both" if named else "neither"
        raise GliosegError(f"expected a folder, or the files of one case with --t1 … --flair, got {got}")
    if scans is None:
        return [named_case(named)]
    search = search_folder(scans)
    for line in search.lines:
        _print_error(line)
    return search.cases


def _predict(
    cases: Sequence[Case],
    plan: JobPlan,
    models: Sequence[str],
    cluster: Cluster | None,
    *,
    mirror: bool | None,
    memory_gb: float | None,
) -> int:
    """Segment the unfinished cases; returns how many were rejected."""
    with_images = [case for case in cases if _has_images(case, plan)]
    refused = len(cases) - len(with_images)
    if not with_images:
        return refused
    source = find_models(models, mirror=mirror, memory_gb=memory_gb)
    settings = plan.settings(source)
    jobs = plan.unfinished(with_images, settings, cluster)
    finished = len(with_images) - len(jobs)
    if finished:
        print(f"{finished} of {len(with_images)} cases are finished already")
    if not jobs:
        return refused
    if cluster is None:
        outcomes, interval = _segment_here(source, plan, jobs, settings), 0
    else:
        outcomes, interval = _segment_on_cluster(source, plan, jobs, settings, cluster), SUMMARY_INTERVAL
    return refused + _collect(outcomes, plan, interval=interval, finished=finished, total=len(cases))


def _has_images(case: Case, plan: JobPlan) -> bool:
    """Whether a case has at least one modality; if not, it is reported as rejected."""
    found = any(name in case.files for name in MODALITIES)
    if not found:
        error = f"{case.case}: no modality: expected at least one of {', '.join(MODALITIES)}"
        _print_error(error)
        plan.put([refused_row(case, error)])
    return found


def _segment_here(
    source: ModelSource, plan: JobPlan, jobs: Sequence[CaseJob], settings: JobSettings
) -> Outcomes:
    """Segment cases in this process, one after the other."""
    predictor = source.model.load()
    _warn_of_missing(jobs, predictor.settings.modality_dropout)
    for job in track(jobs, title="predict", total=len(jobs)):
        plan.drop([job])
        yield segment_case(job, model=predictor, settings=settings)


def _segment_on_cluster(
    source: ModelSource, plan: JobPlan, jobs: Sequence[CaseJob], settings: JobSettings, cluster: Cluster
) -> Outcomes:
    """Segment cases on workers; outcomes come in the order in which cases end."""
    _warn_of_missing(jobs, source.model.settings.modality_dropout)
    plan.drop(jobs)
    with source.copied_for_workers(plan.folder) as model:
        task = partial(segment_case, model=model, settings=settings)
        for _, outcome in cluster.map_unordered(task, jobs, title="predict", gpu=True):
            yield outcome


def _warn_of_missing(jobs: Sequence[CaseJob], modality_dropout: float) -> None:
    incomplete = any(name not in job.case.files for job in jobs for name in MODALITIES)
    if incomplete and not modality_dropout:
        _print_error(
            "warning: the model was trained with train.modality_dropout 0:"
            " expect worse labels for cases that lack a modality"
        )


def _collect(outcomes: Outcomes, plan: JobPlan, *, interval: int, finished: int, total: int) -> int:
    """Print and store outcomes as cases end; returns how many cases were rejected.

    Args:
        outcomes: of the cases.
        plan: stores the rows.
        interval: minimum time between two summary writes, as a multiple of the time that the last write
            took: each write covers the whole table, and a cluster may finish a hundred cases meanwhile.
        finished: cases that were finished before.
        total: all cases.

    Raises:
        KeyboardInterrupt: the user pressed Ctrl-C; the message says how many cases are written.
    """
    refused, ended, due, rows = 0, 0, 0.0, list[Row]()
    try:
        with closing(outcomes):  # cancels running cases before this process ends
            for outcome in outcomes:
                rows.append(outcome.row)
                ended, refused = ended + 1, refused + outcome.refused
                _print(outcome)
                if (begun := time.monotonic()) >= due:
                    plan.put(rows)
                    rows, due = [], begun + (interval + 1) * (time.monotonic() - begun)
    except BaseException as error:
        if was_interrupted(error):
            written = finished + ended - refused
            message = f"stopped: {written} of {total} cases are written; run again to go on"
            raise KeyboardInterrupt(message) from None
        raise
    finally:
        plan.put(rows)
    return refused


def _print(outcome: Outcome) -> None:
    for warning in outcome.warnings:
        _print_error(warning)
    if outcome.line:
        print(outcome.line)


def _print_error(line: str) -> None:
    print(f"glioseg predict: {line}", file=sys.stderr)

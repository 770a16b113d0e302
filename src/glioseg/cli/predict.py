"""`glioseg predict`: segment cases."""

import sys
import time
from collections.abc import Generator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from glioseg.cli.case_job import Outcome, Terms, Todo, segment_case
from glioseg.cli.job_plan import Work, plan
from glioseg.cli.model_loading import Engine, find_engine
from glioseg.cli.options import Address, Workers, asked_cluster
from glioseg.cli.summary_csv import Row, refused_row
from glioseg.compute import Cluster
from glioseg.core.entry import interrupted
from glioseg.core.errors import one_line
from glioseg.core.modalities import MODALITIES
from glioseg.core.progress import track
from glioseg.data.cohort.cases import Case, find_cases

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
    bool | None,
    typer.Option(
        show_default="the model's own setting",
        help="Average over the eight mirror images: the network takes eight times as long.",
    ),
]
MemoryGb = Annotated[
    float | None,
    typer.Option(min=0, help="Memory to keep within, instead of the model's own inference.memory_gb."),
]

Outcomes = Generator[Outcome, None, None]

REST = 10
"""How many times as long as writing the summary takes is to pass before it is written again, on a cluster."""


def predict(
    scans: ScanFolder,
    output: Output,
    model: Models = None,
    entropy: Entropy = False,
    mirror: Mirror = None,
    memory_gb: MemoryGb = None,
    cluster: Address = None,
    workers: Workers = None,
) -> None:
    """Segment one case or a folder of cases, with or without a segmentation present.

    Any of the four modalities may be missing, but not all. Labels follow the scheme of the case's own
    layout: enhancing tumour is 4 for `_t1ce` files (BraTS 2017 to 2021) and 3 for `-t1c` files (2023
    on); of the Decathlon, oedema is 1, non-enhancing core 2 and enhancing tumour 3.

    A scan with another spacing than the model was trained on, 1 mm as a rule, is resampled for it; labels
    lie on the scan's own grid.

    A case that breaks the contract is named and skipped; the others are segmented, and the exit code is 1.

    In a folder, summary.csv says of each case how it went. Called again, the command goes on where it
    stopped: it skips a case whose answer lies there and was made by this model, with these options, of these
    files.

    With --cluster each case is a task for the workers of a Dask cluster, which must reach the scans and the
    output at the same paths; see docs/clusters.md.
    """
    with one_line("glioseg predict"):
        where = asked_cluster(cluster, workers)
        cases = find_cases(scans)
        work = plan(cases, output, entropy=entropy)
        refused = _predict(cases, work, model or [], where, mirror=mirror, memory_gb=memory_gb)
    if refused:
        sys.exit(1)


def _predict(
    cases: Sequence[Case],
    work: Work,
    models: Sequence[str],
    cluster: Cluster | None,
    *,
    mirror: bool | None,
    memory_gb: float | None,
) -> int:
    """Segment what is to be segmented; how many cases were refused."""
    sound = [case for case in cases if _has_images(case, work)]
    refused = len(cases) - len(sound)
    if not sound:
        return refused
    engine = find_engine(models, mirror=mirror, memory_gb=memory_gb)
    terms = work.terms(engine)
    todo = work.left(sound, terms, cluster)
    if len(todo) < len(sound):
        print(f"{len(sound) - len(todo)} of {len(sound)} cases are finished already")
    if not todo:
        return refused
    if cluster is None:
        outcomes, rest = _one_by_one(engine, work, todo, terms), 0
    else:
        outcomes, rest = _side_by_side(engine, work, todo, terms, cluster), REST
    return refused + _follow(outcomes, work, rest=rest, before=len(sound) - len(todo), of=len(cases))


def _has_images(case: Case, work: Work) -> bool:
    """Whether there is anything to segment; if not, it is said."""
    found = any(name in case.files for name in MODALITIES)
    if not found:
        error = f"{case.case}: no modality: expected at least one of {', '.join(MODALITIES)}"
        _say(error)
        work.keep([refused_row(case, error)])
    return found


def _one_by_one(engine: Engine, work: Work, todo: Sequence[Todo], terms: Terms) -> Outcomes:
    """Segment cases in this process."""
    segmenter = engine.model.load()
    _warn_of_missing(todo, segmenter.settings.modality_dropout)
    for each in track(todo, title="predict", total=len(todo)):
        work.drop([each])
        yield segment_case(each, model=segmenter, terms=terms)


def _side_by_side(
    engine: Engine, work: Work, todo: Sequence[Todo], terms: Terms, cluster: Cluster
) -> Outcomes:
    """Segment cases on workers; they come as they end."""
    _warn_of_missing(todo, engine.model.settings.modality_dropout)
    work.drop(todo)
    with engine.lent(work.folder) as model:
        task = partial(segment_case, model=model, terms=terms)
        for _, outcome in cluster.each(task, todo, title="predict", gpu=True):
            yield outcome


def _warn_of_missing(todo: Sequence[Todo], modality_dropout: float) -> None:
    incomplete = any(name not in each.case.files for each in todo for name in MODALITIES)
    if incomplete and not modality_dropout:
        _say(
            "warning: the model was trained with train.modality_dropout 0:"
            " where modalities are missing, expect worse labels"
        )


def _follow(outcomes: Outcomes, work: Work, *, rest: int, before: int, of: int) -> int:
    """Say how cases went as they end, and write it down; how many were refused.

    Args:
        outcomes: of the cases.
        work: keeps the rows.
        rest: how many times as long as writing them took the last time is to pass until the next time:
            the table is written whole, and a cluster may end a hundred cases meanwhile.
        before: cases that were finished already.
        of: all cases.

    Raises:
        KeyboardInterrupt: Ctrl-C, with how many cases are written.
    """
    refused, ended, due, rows = 0, 0, 0.0, list[Row]()
    try:
        with closing(outcomes):  # what is under way is dropped before this process ends
            for outcome in outcomes:
                rows.append(outcome.row)
                ended, refused = ended + 1, refused + outcome.refused
                _tell(outcome)
                if (begun := time.monotonic()) >= due:
                    work.keep(rows)
                    rows, due = [], begun + (rest + 1) * (time.monotonic() - begun)
    except BaseException as error:
        if interrupted(error):
            said = f"stopped: {before + ended - refused} of {of} cases are written; run again to go on"
            raise KeyboardInterrupt(said) from None
        raise
    finally:
        work.keep(rows)
    return refused


def _tell(outcome: Outcome) -> None:
    for warning in outcome.warnings:
        _say(warning)
    if outcome.line:
        print(outcome.line)


def _say(line: str) -> None:
    print(f"glioseg predict: {line}", file=sys.stderr)

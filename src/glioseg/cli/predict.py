"""`glioseg predict`: what the command does, and the loop over the cases."""

import sys
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from glioseg.cli import predict_options as options
from glioseg.cli.options import Address, Workers, cluster_from_options
from glioseg.cli.predict_case import (
    CaseJob,
    JobSettings,
    Outcome,
    Product,
    Row,
    refused_row,
    segment_case,
)
from glioseg.cli.predict_job import JobPlan, ModelSource, find_source, plan_job
from glioseg.cli.predict_output import COMMAND, Printer
from glioseg.compute import Cluster
from glioseg.core.entry import was_interrupted
from glioseg.core.errors import GliosegError, one_line_errors
from glioseg.core.modalities import MODALITIES
from glioseg.core.progress import track
from glioseg.data.cohort.cases import Case
from glioseg.data.cohort.layouts import named_case, search_folder
from glioseg.mlops.tracking.model_uri import why_builtin
from glioseg.mlops.tracking.storage import ProjectStorage
from glioseg.models import builtin

Outcomes = Generator[Outcome, None, None]

SUMMARY_INTERVAL = 10
"""Minimum interval between summary writes on a cluster, as a multiple of the time that one write takes."""


def predict(
    output: options.Output,
    scans: options.ScanFolder = None,
    t1: options.T1 = None,
    t1ce: options.T1CE = None,
    t2: options.T2 = None,
    flair: options.FLAIR = None,
    model: options.Models = None,
    entropy: options.Entropy = False,
    statistics: options.Statistics = None,
    preview: options.Preview = False,
    mirror: options.Mirror = None,
    memory_gb: options.MemoryGb = None,
    cluster: Address = None,
    workers: Workers = None,
    dry_run: options.DryRun = False,
    as_json: options.AsJson = False,
    verbose: options.Verbose = False,
    quiet: options.Quiet = False,
) -> None:
    """Segment one case or a folder of cases; if a case has a true segmentation, print the Dice too.

    At least one of the four modalities must be present. The names of the files tell them apart, as in
    BraTS, UCSF-PDGM, UPENN-GBM, TCGA, BIDS, nnU-Net and the Decathlon; for other names, give the files of one
    case with --t1, --t1ce, --t2 and --flair. Labels follow the scheme of the case's own
    file names: enhancing tumour is 4 for `_t1ce` files (BraTS 2017 to 2021) and 3 for `-t1c` files (2023
    on); for Decathlon cases, oedema is 1, non-enhancing core 2 and enhancing tumour 3.

    A scan whose spacing differs from that of the training scans (usually 1 mm) is resampled for the network;
    the label map is written on the scan's own grid.

    A case that breaks the contract is reported and skipped, the others are segmented, and the exit code
    is 1. Results are printed on stdout; warnings, errors and progress on stderr.

    If the output is a folder, summary.csv has a row for each case. If the command is run again, it continues
    where it stopped: it skips each case whose prediction comes from the same files, model and options.

    With --cluster, each case is a task for the workers of a Dask cluster. The workers must have the scans and
    the output at the same paths; see docs/clusters.md.
    """
    printer = Printer(as_json=as_json, verbose=verbose, quiet=quiet)
    wanted = {Product.ENTROPY: entropy, Product.PREVIEW: preview} | {
        Product(f"statistics_{name}"): name == statistics for name in options.Format
    }
    with one_line_errors(COMMAND):
        where = cluster_from_options(cluster, workers)
        cases = _find_cases(scans, {"t1": t1, "t1ce": t1ce, "t2": t2, "flair": flair}, printer)
        plan = plan_job(cases, output, [product for product, is_wanted in wanted.items() if is_wanted])
        if dry_run:
            printer.plan(cases, plan)
            return
        source = find_source(model or [], mirror=mirror, memory_gb=memory_gb)
        if not model and source.name == builtin.ADDRESS:
            printer.say(why_builtin(ProjectStorage.current()))
        refused = Batch(cases, plan, source, where, printer).run()
    if refused:
        sys.exit(1)


def _find_cases(scans: Path | None, files: Mapping[str, Path | None], printer: Printer) -> Sequence[Case]:
    """The cases of a folder, or the one whose files are named."""
    named = {role: file for role, file in files.items() if file is not None}
    if (scans is None) != bool(named):
        got = "both" if named else "neither"
        raise GliosegError(f"expected a folder, or the files of one case with --t1 … --flair, got {got}")
    if scans is None:
        return [named_case(named)]
    search = search_folder(scans)
    for line in search.lines:
        printer.warn(line)
    return search.cases


@dataclass(frozen=True)
class Batch:
    """The cases of one command.

    `cluster`: workers that segment them; None: this process does, one case after the other.
    """

    cases: Sequence[Case]
    plan: JobPlan
    source: ModelSource
    cluster: Cluster | None
    printer: Printer

    def run(self) -> int:
        """Segment the unfinished cases; returns how many were rejected."""
        with_images = [case for case in self.cases if self._has_images(case)]
        refused = len(self.cases) - len(with_images)
        if not with_images:
            return refused
        settings = self.plan.settings(self.source)
        jobs = self.plan.unfinished(with_images, settings, self.cluster)
        finished = len(with_images) - len(jobs)
        if finished:
            self.printer.say(f"{finished} of {len(with_images)} cases are finished already")
        if not jobs:
            return refused
        segment, interval = (
            (self._segment_here, 0) if self.cluster is None else (self._segment_on_cluster, SUMMARY_INTERVAL)
        )
        return refused + self._collect(segment(jobs, settings), interval=interval, finished=finished)

    def _has_images(self, case: Case) -> bool:
        """Whether a case has at least one modality; if not, it is reported as rejected."""
        found = any(name in case.files for name in MODALITIES)
        if not found:
            error = f"{case.case}: no modality: expected at least one of {', '.join(MODALITIES)}"
            self.printer.warn(error)
            self.plan.put([refused_row(case, error)])
        return found

    def _warn_of_missing(self, jobs: Sequence[CaseJob], modality_dropout: float) -> None:
        incomplete = any(name not in job.case.files for job in jobs for name in MODALITIES)
        if incomplete and not modality_dropout:
            self.printer.warn(
                "warning: the model was trained with train.modality_dropout 0:"
                " expect worse labels for cases that lack a modality"
            )

    def _segment_here(self, jobs: Sequence[CaseJob], settings: JobSettings) -> Outcomes:
        """Segment cases in this process, one after the other."""
        predictor = self.source.model.load()
        self._warn_of_missing(jobs, predictor.settings.modality_dropout)
        for job in track(jobs, title=self.printer.title, total=len(jobs)):
            self.plan.drop([job])
            yield segment_case(job, model=predictor, settings=settings)

    def _segment_on_cluster(self, jobs: Sequence[CaseJob], settings: JobSettings) -> Outcomes:
        """Segment cases on workers; outcomes come in the order in which cases end."""
        assert self.cluster is not None
        self._warn_of_missing(jobs, self.source.model.settings.modality_dropout)
        self.plan.drop(jobs)
        with self.source.copied_for_workers(self.plan.folder) as model:
            task = partial(segment_case, model=model, settings=settings)
            done = self.cluster.map_unordered(task, jobs, title=self.printer.title, gpu=True)
            for _, outcome in done:
                yield outcome

    def _collect(self, outcomes: Outcomes, *, interval: int, finished: int) -> int:
        """Print and store outcomes as cases end; returns how many cases were rejected.

        Args:
            outcomes: of the cases.
            interval: minimum time between two summary writes, as a multiple of the time that the last write
                took: each write covers the whole table, and a cluster may finish a hundred cases meanwhile.
            finished: cases that were finished before.

        Raises:
            KeyboardInterrupt: the user pressed Ctrl-C; the message says how many cases are written.
        """
        refused, ended, due, rows = 0, 0, 0.0, list[Row]()
        try:
            with closing(outcomes):  # cancels running cases before this process ends
                for outcome in outcomes:
                    rows.append(outcome.row)
                    ended, refused = ended + 1, refused + outcome.refused
                    self.printer.outcome(outcome)
                    if (begun := time.monotonic()) >= due:
                        self.plan.put(rows)
                        rows, due = [], begun + (interval + 1) * (time.monotonic() - begun)
        except BaseException as error:
            if was_interrupted(error):
                written = finished + ended - refused
                message = f"stopped: {written} of {len(self.cases)} cases are written; run again to go on"
                raise KeyboardInterrupt(message) from None
            raise
        finally:
            self.plan.put(rows)
        return refused

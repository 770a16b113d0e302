"""`glioseg tune-worker`: run trials of a study, on this machine or beside each worker of a Dask cluster."""

import os
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass, field

from glioseg.cli.options import Address, Workers, cluster_from_options
from glioseg.compute import Cluster, ClusterError
from glioseg.compute.isolated import run_isolated
from glioseg.core.errors import one_line_errors
from glioseg.mlops.tracking.storage import DATABASE_URL
from glioseg.models.networks.hardware import thread_variables
from glioseg.params import load_params
from glioseg.params.settings_file import ParamsError


def tune_worker(cluster: Address = None, workers: Workers = None) -> None:
    """Run trials of the study for the current params.yaml, data and code, until the study is finished.

    Start it in a folder of the project, before or while `dvc repro` runs the stage tune, once for each
    processor that should run trials. Other machines need GLIOSEG_DATABASE_URL, and the same commit and data.

    With --cluster, it starts one worker beside each worker of a Dask cluster; --workers limits their number.
    See docs/clusters.md.
    """
    with one_line_errors(
        "glioseg tune-worker", interrupt_message="stopped; another worker, or this one started again, goes on"
    ):
        where = cluster_from_options(cluster, workers)
        if not load_params().tune.trials:
            raise ParamsError("params.yaml: tune.trials: expected at least 1, got 0")
        done = _run_on_cluster(where, workers) if where else f"{run_trials()} is finished"
    print(f"tune-worker: {done}")


def run_trials() -> str:
    """Run trials in this process until the study is finished; returns the name of the study."""
    from glioseg.mlops.tuning.worker import (
        work_on_study,  # imports MLflow and Optuna after the settings are checked
    )

    return str(work_on_study(load_params()).study.study_name)


@dataclass(frozen=True)
class TuneWorker:
    """Runs trials in an isolated process beside the Dask worker that calls it.

    `work`: runs the trials; `host`: the machine of the command; `database_url`: of the database that all
    machines share, if there is one.
    """

    work: Callable[[], object]
    host: str
    database_url: str | None = field(repr=False)  # Dask logs the arguments of a failed task

    def __call__(self, number: int) -> str:
        """Run trials until the study is finished or the command has ended.

        Returns:
            The error, with the name of the machine; empty if there was none.
        """
        here = socket.gethostname()
        if here != self.host and not self.database_url:
            return f"{here}: {DATABASE_URL}: expected a database that all machines reach, got none"
        shared = {DATABASE_URL: self.database_url} if self.database_url else {}
        try:
            run_isolated(self.work, variables=shared | thread_variables())
        except (ClusterError, RuntimeError) as error:
            return f"{here}: {error}"
        return ""


def _run_on_cluster(cluster: Cluster, workers: int | None) -> str:
    """Start tune workers and report how they ended; a failed one does not stop the others."""
    worker = TuneWorker(run_trials, socket.gethostname(), os.environ.get(DATABASE_URL))
    count = workers or cluster.size
    errors = [error for error in cluster.map(worker, range(count), title="tune workers", gpu=True) if error]
    if len(errors) == count:
        raise ClusterError(f"each of {count} workers failed, the last one: {errors[-1]}")
    for error in errors:
        print(f"glioseg tune-worker: {error}", file=sys.stderr)
    return f"the study is finished, workers: {count}"

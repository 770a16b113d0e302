"""`glioseg tune-worker`: help to run the trials of a study."""

import os
import socket
import sys

from glioseg.cli.options import Address, Workers, asked_cluster
from glioseg.cli.tune_cluster import Helper
from glioseg.compute import Cluster, ClusterError
from glioseg.core.errors import one_line
from glioseg.core.settings_file import ParamsError
from glioseg.mlops.tracking.storage import DATABASE_URL
from glioseg.params import load_params


def tune_worker(cluster: Address = None, workers: Workers = None) -> None:
    """Work on the study of the present params.yaml, data and code until it is finished.

    Start it in a folder of the project as often as there are processors to keep busy, while `dvc repro`
    runs the stage tune or before. Other machines need GLIOSEG_DATABASE_URL, and the same commit and data.

    With --cluster it starts one on each worker of a Dask cluster, with --workers so many; see
    docs/clusters.md.
    """
    with one_line(
        "glioseg tune-worker", stopped="stopped; another worker, or this one started again, goes on"
    ):
        where = asked_cluster(cluster, workers)
        if not load_params().tune.trials:
            raise ParamsError("params.yaml: tune.trials: expected at least 1, got 0")
        done = _everywhere(where, workers) if where else f"{work_here()} is finished"
    print(f"tune-worker: {done}")


def work_here() -> str:
    """Be a worker in this process; the name of the study."""
    from glioseg.mlops.tuning.worker import work  # MLflow, Optuna: only once the settings are sound

    return str(work(load_params()).study.study_name)


def _everywhere(cluster: Cluster, workers: int | None) -> str:
    """Start workers, and say how they ended; one that failed does not stop the others."""
    helper = Helper(work_here, socket.gethostname(), os.environ.get(DATABASE_URL))
    count = workers or cluster.size
    errors = [error for error in cluster.map(helper, range(count), title="tune workers", gpu=True) if error]
    if len(errors) == count:
        raise ClusterError(f"each of {count} workers failed, the last one: {errors[-1]}")
    for error in errors:
        print(f"glioseg tune-worker: {error}", file=sys.stderr)
    return f"the study is finished, workers: {count}"

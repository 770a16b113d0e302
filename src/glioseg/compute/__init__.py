"""Parallel processing of cases, on this machine or on a Dask cluster, with equal results."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from glioseg.compute.local import map_local
from glioseg.core.cpus import usable_cores
from glioseg.core.errors import ClusterError
from glioseg.core.extras import optional_imports
from glioseg.params.sections import PROCESSES, THREADS, Compute
from glioseg.params.settings_file import params_error

__all__ = ["CLUSTER_VARIABLE", "LOCAL", "Cluster", "ClusterError", "choose_cluster"]

CLUSTER_VARIABLE = "GLIOSEG_CLUSTER"
"""Environment variable that overrides `compute.cluster`, because many machines may share a params.yaml."""

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Cluster:
    """The workers that process cases.

    Attributes:
        kind: `processes` or `threads` of this machine, `slurm`, or the address of a Dask scheduler.
        workers: number of workers; None means one for each CPU core. Ignored for a scheduler that is running.
        slurm: options of dask-jobqueue's SLURMCluster.
    """

    kind: str = PROCESSES
    workers: int | None = None
    slurm: Mapping[str, Any] | None = None

    @property
    def is_remote(self) -> bool:
        """Whether the workers belong to Dask, perhaps on other machines."""
        return self.kind not in (PROCESSES, THREADS)

    @property
    def for_io(self) -> "Cluster":
        """The cluster for I/O-bound work: on this machine, threads, which start faster than processes."""
        return self if self.is_remote else replace(self, kind=THREADS)

    @property
    def size(self) -> int:
        """The current number of workers."""
        if not self.is_remote:
            return self.workers or usable_cores()
        from glioseg.compute.dask import count_workers

        return count_workers(self)

    def map(
        self, function: Callable[[Item], Result], items: Sequence[Item], *, title: str, gpu: bool = False
    ) -> list[Result]:
        """Results of a function for all items, in the order of the items. See `map_unordered`."""
        results = dict(self.map_unordered(function, items, title=title, gpu=gpu))
        return [results[index] for index in range(len(items))]

    def map_unordered(
        self, function: Callable[[Item], Result], items: Sequence[Item], *, title: str, gpu: bool = False
    ) -> Iterator[tuple[int, Result]]:
        """Apply a function to all items in parallel, and show the progress.

        A Dask cluster repeats an item elsewhere if its worker is lost, and retries an item that raises. An
        item may therefore run twice, even at the same time: the function must write its files atomically.

        Args:
            function: must be picklable, except for threads; it runs in the folder of this process.
            items: one for each case.
            title: name of the work in the progress line.
            gpu: whether to use only the workers with the resource `GPU`, one item at a time, if a Dask
                cluster has such workers.

        Yields:
            Index and result of each item, in order of completion. Results are sent between processes: keep
            them small. If the caller stops iterating, items that have not started are cancelled.

        Raises:
            The first error of `function`; items that have not started are cancelled.
            ClusterError: a machine failed, not the function.
            MissingPackageError: Dask is not installed.
        """
        if not items:
            return iter(())
        if not self.is_remote:
            threads = self.kind == THREADS
            return map_local(function, items, title=title, threads=threads, workers=self.workers)
        with optional_imports(f"compute.cluster: {self.kind}"):
            from glioseg.compute.dask import map_dask  # importing Dask takes a second
        return map_dask(function, items, title=title, cluster=self, gpu=gpu)


LOCAL = Cluster()
"""One process for each CPU core of this machine."""


def choose_cluster(compute: Compute) -> Cluster:
    """The cluster that the environment variable names, else that of params.yaml.

    Raises:
        ParamsError: GLIOSEG_CLUSTER does not name a cluster.
    """
    kind = os.environ.get(CLUSTER_VARIABLE) or compute.cluster
    try:
        chosen = Compute.model_validate(compute.model_dump() | {"cluster": kind})
    except ValidationError as error:
        raise params_error(Path(CLUSTER_VARIABLE), error) from None
    return Cluster(chosen.cluster, chosen.workers, chosen.slurm)

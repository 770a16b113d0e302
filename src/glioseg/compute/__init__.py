"""One way to map work over cases: on this machine, or on a Dask cluster. Results do not depend on which."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from glioseg.compute.errors import ClusterError
from glioseg.compute.local import each_here
from glioseg.core.cpus import cores
from glioseg.core.settings_file import wrong_value
from glioseg.params.compute import PROCESSES, THREADS, Compute

__all__ = ["CLUSTER", "LOCAL", "Cluster", "ClusterError", "choose_cluster"]

CLUSTER = "GLIOSEG_CLUSTER"
"""Environment variable that takes the place of `compute.cluster`: many machines may share a params.yaml."""

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Cluster:
    """Where work over cases is done.

    Attributes:
        kind: `processes` or `threads` of this machine, `slurm`, or the address of a Dask scheduler.
        workers: how many; None: one a CPU core. A scheduler has its own.
        slurm: options of dask-jobqueue's SLURMCluster.
    """

    kind: str = PROCESSES
    workers: int | None = None
    slurm: Mapping[str, Any] | None = None

    @property
    def far(self) -> bool:
        """Whether Dask does the work, maybe on other machines."""
        return self.kind not in (PROCESSES, THREADS)

    @property
    def reading(self) -> "Cluster":
        """The same for work that waits for a disk: on this machine threads do, which start at once."""
        return self if self.far else replace(self, kind=THREADS)

    @property
    def size(self) -> int:
        """How many workers there are now."""
        if not self.far:
            return self.workers or cores()
        from glioseg.compute.dask import count_workers

        return count_workers(self)

    def map(
        self, work: Callable[[Item], Result], items: Sequence[Item], *, title: str, gpu: bool = False
    ) -> list[Result]:
        """Apply a function to every item; the results in the order of the items. See `each`."""
        results = dict(self.each(work, items, title=title, gpu=gpu))
        return [results[place] for place in range(len(items))]

    def each(
        self, work: Callable[[Item], Result], items: Sequence[Item], *, title: str, gpu: bool = False
    ) -> Iterator[tuple[int, Result]]:
        """Apply a function to every item in parallel, with progress.

        On a Dask cluster an item whose worker is lost is done again elsewhere, and one that raises is tried
        again. So it may be done twice, even at the same time: what it writes must come out whole.

        Args:
            work: picklable but for threads; called in the folder of this process, wherever it runs.
            items: one entry a case.
            title: what the progress line says.
            gpu: whether a Dask cluster that has workers with the resource `GPU` shall use them alone, for
                one item at a time.

        Yields:
            The place of an item and its result, as they come. They travel: keep them small. Who stops
            listening drops the items that have not started.

        Raises:
            Whatever `work` raises first; items that have not started are dropped.
            ClusterError: a machine, not the work, is at fault.
        """
        if not items:
            return iter(())
        if not self.far:
            threads = self.kind == THREADS
            return each_here(work, items, title=title, threads=threads, workers=self.workers)
        try:
            from glioseg.compute.dask import each_far  # imports Dask, which takes a second
        except ModuleNotFoundError as error:
            raise ClusterError(
                f"compute.cluster: {self.kind} expects Dask (pip install 'glioseg[cluster]'): {error}"
            ) from None
        return each_far(work, items, title=title, cluster=self, gpu=gpu)


LOCAL = Cluster()
"""One process for each CPU core of this machine."""


def choose_cluster(compute: Compute) -> Cluster:
    """The cluster that params.yaml names, or the environment variable in its place.

    Raises:
        ParamsError: GLIOSEG_CLUSTER holds something else.
    """
    kind = os.environ.get(CLUSTER) or compute.cluster
    try:
        chosen = Compute.model_validate(compute.model_dump() | {"cluster": kind})
    except ValidationError as error:
        raise wrong_value(Path(CLUSTER), error) from None
    return Cluster(chosen.cluster, chosen.workers, chosen.slurm)

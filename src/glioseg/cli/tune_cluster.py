"""Tune workers on a cluster: one task a worker, which starts a tune worker beside it."""

import socket
from collections.abc import Callable
from dataclasses import dataclass, field

from glioseg.compute import ClusterError
from glioseg.compute.isolated import run_apart
from glioseg.mlops.tracking.storage import DATABASE_URL
from glioseg.models.networks.threads import training_threads


@dataclass(frozen=True)
class Helper:
    """Works on a study where it is called.

    `work` is one worker's; `host` started it; `database_url` is what all machines share, if there is one.
    """

    work: Callable[[], object]
    host: str
    database_url: str | None = field(repr=False)  # Dask logs what a failed task was called with

    def __call__(self, number: int) -> str:
        """Run trials until the study is finished, or nobody waits for that any more.

        Returns:
            What went wrong, with the name of the machine; empty if nothing did.
        """
        here = socket.gethostname()
        if here != self.host and not self.database_url:
            return f"{here}: {DATABASE_URL}: expected a database that all machines reach, got none"
        shared = {DATABASE_URL: self.database_url} if self.database_url else {}
        try:
            run_apart(self.work, variables=shared | training_threads())
        except (ClusterError, RuntimeError) as error:
            return f"{here}: {error}"
        return ""

"""The section `compute`: where work over cases is done, on which no result depends."""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, model_validator

from glioseg.params.sections import Count, Section

PROCESSES, THREADS, SLURM = "processes", "threads", "slurm"
ADDRESS = re.compile(r"(tcp|tls|ws|wss)://[^/\s]+:\d+")


def known_cluster(name: str) -> str:
    """Give back the name of a kind of cluster, or a scheduler's address.

    Raises:
        ValueError: it is neither.
    """
    if name not in (PROCESSES, THREADS, SLURM) and not ADDRESS.fullmatch(name):
        raise ValueError(
            f"expected {PROCESSES}, {THREADS}, {SLURM} or a scheduler's address such as tcp://host:8786,"
            f" got {name}"
        )
    return name


class Compute(Section):
    """Where work over cases is done."""

    cluster: Annotated[str, AfterValidator(known_cluster)] = PROCESSES
    workers: Count | None = None
    slurm: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _slurm_is_told_how_many(self) -> "Compute":
        if self.cluster == SLURM and self.workers is None:
            raise ValueError("workers: expected how many Slurm shall start, got null")
        return self

"""The model that a command calls: where it lies, what it is, and how it is loaded."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from glioseg.core.fingerprint import code_fingerprint, folder_fingerprint
from glioseg.mlops.tracking.storage import Lab
from glioseg.models import builtin
from glioseg.params.contract import CONTRACT, Contract, load_contract

if TYPE_CHECKING:
    from glioseg.models.inference.model_cache import KeptModel

LENT = ".model"
"""Where, beside the answers, workers find the model; it is removed at the end."""
PREDICTION = ("glioseg.cli.case_job", "glioseg.models.inference.model_cache")
"""The modules that segment a case: with all that they import, the code that decides an answer."""


@dataclass(frozen=True)
class Engine:
    """Model folders that answer together, and how they are to be run; nothing is loaded yet.

    `name`: their addresses, by version and not by alias; `mirror` and `memory_gb` are what a user sets
    (None: the model's own).
    """

    name: str
    folders: tuple[Path, ...]
    mirror: bool | None
    memory_gb: float | None

    @cached_property
    def contract(self) -> Contract:
        """That of the first model."""
        return load_contract(self.folders[0] / CONTRACT)

    @cached_property
    def facts(self) -> dict[str, object]:
        """All that an answer depends on beside the scans."""
        return {
            "models": self._digests,
            "mirror": self.mirror,
            "memory_gb": self.memory_gb,
            "code": code_fingerprint(*PREDICTION),
        }

    @cached_property
    def _digests(self) -> list[str]:
        return [folder_fingerprint(folder) for folder in self.folders]

    @property
    def model(self) -> "KeptModel":
        """The models as one."""
        from glioseg.models.inference.model_cache import KeptModel

        return KeptModel(self.folders, repr(self._digests), self.mirror, self.memory_gb)

    @contextmanager
    def lent(self, beside: Path) -> Iterator["KeptModel"]:
        """Lend the models to workers, which reach the folder of the answers but perhaps no registry.

        Args:
            beside: the folder of the answers.
        """
        place = beside / LENT
        shutil.rmtree(place, ignore_errors=True)
        copies = tuple(place / str(number) for number in range(len(self.folders)))
        try:
            for folder, copy in zip(self.folders, copies, strict=True):
                shutil.copytree(folder, copy)
            yield replace(self.model, folders=copies)
        finally:
            shutil.rmtree(place, ignore_errors=True)


def find_engine(models: Sequence[str], *, mirror: bool | None, memory_gb: float | None) -> Engine:
    """Find models in the registry or in folders.

    Args:
        models: addresses or folders, as for `fetch.model_folder`; none: the champion, or without one the
            built-in model.
        mirror: whether to average over mirror images; None: the model's own setting.
        memory_gb: memory to keep within.
    """
    from glioseg.mlops.tracking.model_uri import (  # only once the input is sound
        default_model,
        model_folder,
        pinned,
    )

    addresses = [pinned(model) for model in models or [default_model(Lab.here())]]
    if not models and addresses == [builtin.ADDRESS]:
        print("no model is registered here: glioseg's built-in one answers", flush=True)
    folders = tuple(model_folder(address) for address in addresses)
    return Engine(" ".join(addresses), folders, mirror, memory_gb)

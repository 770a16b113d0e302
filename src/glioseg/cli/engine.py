"""The model that a command calls: where it lies, what it is, and how it is loaded."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from glioseg import builtin
from glioseg.data.terms import CONTRACT, Contract, load_contract
from glioseg.lab.addresses import Lab
from glioseg.nets.inference import Segmenter


@dataclass(frozen=True)
class Engine:
    """Model folders that answer together, and how they are to be run; nothing is loaded yet.

    `name`: their addresses, by version and not by alias; `mirror` and `memory_gb` (None: the model's own)
    are what a user sets.
    """

    name: str
    folders: tuple[Path, ...]
    mirror: bool
    memory_gb: float | None

    @cached_property
    def contract(self) -> Contract:
        """That of the first model."""
        return load_contract(self.folders[0] / CONTRACT)

    @cached_property
    def facts(self) -> dict[str, object]:
        """All that an answer depends on beside the scans."""
        from glioseg.lab.lineage import sha256_files, training_code

        files = [[file for file in folder.glob("*") if file.is_file()] for folder in self.folders]
        return {
            "models": [sha256_files(each) for each in files],
            "mirror": self.mirror,
            "memory_gb": self.memory_gb,
            "code": training_code(),
        }

    def load(self) -> Segmenter:
        """The models as one."""
        from glioseg.nets.inference import load_ensemble

        segmenter = load_ensemble(list(self.folders))
        own = segmenter.settings
        settings = replace(
            own,
            mirror=self.mirror or own.mirror,
            memory_gb=own.memory_gb if self.memory_gb is None else self.memory_gb,
        )
        return replace(segmenter, settings=settings)


def find_engine(models: Sequence[str], *, mirror: bool, memory_gb: float | None) -> Engine:
    """Find models in the registry or in folders.

    Args:
        models: addresses or folders, as for `fetch.model_folder`; none: the champion, or without one the
            built-in model.
        mirror: average over mirror images, whatever the model's own setting.
        memory_gb: memory to keep within.
    """
    from glioseg.lab.fetch import default_model, model_folder, pinned  # only once the input is sound

    addresses = [pinned(model) for model in models or [default_model(Lab.here())]]
    if not models and addresses == [builtin.ADDRESS]:
        print("no model is registered here: glioseg's built-in one answers", flush=True)
    folders = tuple(model_folder(address) for address in addresses)
    return Engine(" ".join(addresses), folders, mirror, memory_gb)

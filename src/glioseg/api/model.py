"""Load a model, and segment cases with it."""

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from glioseg.api.segmentation import RejectedCaseError, Segmentation, segment_scans
from glioseg.core.errors import GliosegError
from glioseg.core.labels import LabelScheme
from glioseg.core.memory_images import Image, to_volume
from glioseg.core.modalities import MODALITIES
from glioseg.data.cohort.cases import Case, CohortError, Scan, open_scans
from glioseg.data.cohort.layouts import find_cases, named_case
from glioseg.mlops.tracking.storage import ProjectStorage
from glioseg.models.inference.prediction import CaseModel
from glioseg.params.contract import Contract

IN_MEMORY = "case"
"""The name of a case whose images are not files."""


class RejectedCaseWarning(UserWarning):
    """A case that `Model.segment_many` does not segment; the text names it and the reason."""


@dataclass(frozen=True)
class Model:
    """A loaded model.

    `name`: its address, with the version in place of an alias; `contract`: what it requires of scans.
    """

    name: str
    contract: Contract = field(repr=False)
    network: CaseModel = field(repr=False)

    def segment(
        self, case: str | Path | None = None, *, images: Mapping[str, Image] | None = None
    ) -> Segmentation:
        """Segment a case.

        Args:
            case: folder with the files of one case, whose names tell the modalities apart.
            images: in place of a folder: an image for each of "t1", "t1ce", "t2" and "flair", or for some of
                them: a file, an image of nibabel, or an array with its affine. All must be skull-stripped
                and registered to each other, as the contract says.

        Raises:
            RejectedCaseError: the scans break the contract.
            GliosegError: there is no such case, or its images cannot be read.
        """
        if case is not None and not images:
            found, scans = _scans_of_folder(case)
        elif case is None and images:
            found, scans = _scans_in_memory(images)
        else:
            got = "both" if images else "neither"
            raise GliosegError(f"segment: expected a folder, or images of modalities, got {got}")
        return segment_scans(found, scans, model=self.network, name=self.name, contract=self.contract)

    def segment_many(self, cases: str | Path | Iterable[str | Path]) -> Iterator[Segmentation]:
        """Segment cases one after the other; a rejected case is a `RejectedCaseWarning`.

        Args:
            cases: a folder with any number of cases, or several folders.

        Yields:
            The segmentation of each case, sorted by name within a folder.

        Raises:
            GliosegError: a folder contains no case.
        """
        folders = [cases] if isinstance(cases, str | Path) else cases
        for case in [case for folder in folders for case in find_cases(Path(folder).expanduser())]:
            try:
                yield segment_scans(
                    case,
                    open_scans(case, MODALITIES),
                    model=self.network,
                    name=self.name,
                    contract=self.contract,
                )
            except RejectedCaseError as error:
                warnings.warn(str(error), RejectedCaseWarning, stacklevel=2)


def load_model(
    model: str | Path | Sequence[str | Path] | None = None,
    *,
    mirror: bool | None = None,
    memory_gb: float | None = None,
) -> Model:
    """Load a model, or several whose probabilities are averaged.

    Args:
        model: "builtin", "builtin-synthetic", a folder with a model, or the address of a registered model
            such as "models:/glioseg@champion". By default, the champion of the project in the current
            folder, or the built-in model if none is registered.
        mirror: whether to average over the eight mirror images, which takes eight times as many passes; by
            default, the model's own setting.
        memory_gb: memory budget; by default, the model's own.

    Raises:
        GliosegError: there is no such model, or it cannot be loaded.
    """
    names, folders = find_models([model] if isinstance(model, str | Path) else model or ())
    from glioseg.models.inference.loading import CachedModel  # imports TensorFlow

    predictor = CachedModel(folders, "", mirror, memory_gb).load()
    return Model(" ".join(names), predictor.contract, predictor)


def find_models(models: Sequence[str | Path]) -> tuple[tuple[str, ...], tuple[Path, ...]]:
    """The addresses of models, with versions in place of aliases, and their folders.

    Args:
        models: addresses or folders; if empty, the champion, or the built-in model if none is registered.

    Raises:
        RegistryError: there is no such model.
    """
    from glioseg.mlops.tracking.model_uri import default_model, model_folder, resolve_alias

    given = [str(model) for model in models] or [default_model(ProjectStorage.current())]
    addresses = tuple(resolve_alias(model) for model in given)
    return addresses, tuple(model_folder(address) for address in addresses)


def segment(
    case: str | Path | None = None,
    *,
    images: Mapping[str, Image] | None = None,
    model: str | Path | Sequence[str | Path] | None = None,
    mirror: bool | None = None,
    memory_gb: float | None = None,
) -> Segmentation:
    """Segment a case: `load_model(…).segment(…)`. For several cases, load the model once.

    Args:
        case: as for `Model.segment`.
        images: as for `Model.segment`.
        model: as for `load_model`.
        mirror: as for `load_model`.
        memory_gb: as for `load_model`.

    Raises:
        GliosegError: as for `Model.segment` and `load_model`.
    """
    return load_model(model, mirror=mirror, memory_gb=memory_gb).segment(case, images=images)


def _scans_of_folder(folder: str | Path) -> tuple[Case, dict[str, Scan]]:
    cases = find_cases(Path(folder).expanduser())
    if len(cases) > 1:
        raise CohortError(
            f"{folder}: expected one case, got {len(cases)}; load_model().segment_many(…) takes them all"
        )
    return cases[0], open_scans(cases[0], MODALITIES)


def _scans_in_memory(images: Mapping[str, Image]) -> tuple[Case, dict[str, Scan]]:
    """A case whose images a user gives by modality; a file keeps its name, for findings and the scheme."""
    if unknown := sorted(images.keys() - {*MODALITIES}):
        raise GliosegError(f"images: expected {', '.join(MODALITIES)}, got {', '.join(unknown)}")
    files = {
        name: Path(image).expanduser() for name, image in images.items() if isinstance(image, str | Path)
    }
    case = named_case(files) if files else Case(IN_MEMORY, {}, LabelScheme.BRATS2023)
    scans = open_scans(case, files) | {
        name: Scan("", to_volume(image, name=name)) for name, image in images.items() if name not in files
    }
    whole = replace(case, files=dict.fromkeys(images, Path()) | files)
    return whole, {name: scans[name] for name in MODALITIES if name in scans}

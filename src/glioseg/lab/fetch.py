"""The files of a registered model, found by its address."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp

import mlflow
from mlflow.exceptions import MlflowException

from glioseg.lab.addresses import Lab
from glioseg.lab.tracking import connect
from glioseg.nets.inference import MODEL_FILE


class RegistryError(ValueError):
    """A registered model, or a version or file of one, that is not there; the message names it."""


def landing() -> str | None:
    """Where MLflow is to put what it fetches from a bucket: a new folder, which goes when this process ends.

    Returns:
        None where files are in folders of this machine: they are read in their place.
    """
    return mkdtemp(dir=_aside().name) if Lab.here().artifacts_url else None


@cache
def _aside() -> "TemporaryDirectory[str]":
    return TemporaryDirectory(prefix="glioseg-")


def model_folder(model: str) -> Path:
    """Find the folder that holds `model.keras` and `settings.json`.

    Args:
        model: such a folder, or the address of a registered model, e.g. `models:/glioseg@champion`.

    Raises:
        RegistryError: the registry has no such model.
    """
    if not model.startswith("models:/"):
        return Path(model)
    connect(Lab.here())
    try:
        return Path(mlflow.artifacts.download_artifacts(model, dst_path=landing())) / "artifacts"
    except MlflowException as error:
        raise RegistryError(f"{model}: not in the registry: {error.message}") from None


def pinned(model: str) -> str:
    """The address of the version that an alias names now: `models:/glioseg/3`; any other model as it is.

    Raises:
        RegistryError: the registry has no such alias.
    """
    name, _, alias = model.removeprefix("models:/").partition("@")
    if not model.startswith("models:/") or not alias:
        return model
    try:
        version = connect(Lab.here()).get_model_version_by_alias(name, alias).version
    except MlflowException as error:
        raise RegistryError(f"{model}: not in the registry: {error.message}") from None
    return f"models:/{name}/{version}"


def weights_file(model: str | None) -> Path | None:
    """Find the network to start training from: a `.keras` file, or the first one of a registered model.

    Raises:
        RegistryError: there is no such file, or no such model in the registry.
    """
    if model is None:
        return None
    file = model_folder(model) / MODEL_FILE if model.startswith("models:/") else Path(model)
    if not file.is_file():
        raise RegistryError(f"train.init_from: expected a .keras file or models:/…, found no {file}")
    return file

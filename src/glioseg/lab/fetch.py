"""The files of a model, found by its address: in a folder, in the registry, or in the package."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import TYPE_CHECKING

from glioseg import builtin
from glioseg.errors import GliosegError
from glioseg.lab.addresses import Lab
from glioseg.lab.promotion.known import champion_version
from glioseg.nets.inference import MODEL_FILE

if TYPE_CHECKING:
    from mlflow import MlflowClient

NAME = "glioseg"
CHAMPION = f"models:/{NAME}@champion"


class RegistryError(GliosegError):
    """A registered model, or a version or file of one, that is not there; the message names it."""


def default_model(lab: Lab) -> str:
    """The address of the champion; where no model is registered, that of the built-in one."""
    known = lab.shared or champion_version(lab.database, name=NAME)
    return CHAMPION if known else builtin.ADDRESS


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
        model: such a folder, the address of a registered model, e.g. `models:/glioseg@champion`, or
            `builtin`.

    Raises:
        RegistryError: the registry has no such model, or its files are gone.
        GliosegError: the built-in model is damaged.
    """
    if model == builtin.ADDRESS:
        return builtin.builtin_model()
    if not model.startswith("models:/"):
        return Path(model)
    _client()
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    try:
        return Path(download_artifacts(model, dst_path=landing())) / "artifacts"
    except MlflowException as error:
        raise RegistryError(f"{model}: not in the registry: {error.message}") from None
    except OSError as error:
        raise RegistryError(f"{model}: its files are not there: {error}") from None


def pinned(model: str) -> str:
    """The address of the version that an alias names now: `models:/glioseg/3`; any other model as it is.

    Raises:
        RegistryError: the registry has no such alias.
    """
    name, _, alias = model.removeprefix("models:/").partition("@")
    if not model.startswith("models:/") or not alias:
        return model
    client = _client()
    from mlflow.exceptions import MlflowException

    try:
        version = client.get_model_version_by_alias(name, alias).version
    except MlflowException as error:
        raise RegistryError(f"{model}: not in the registry: {error.message}") from None
    return f"models:/{name}/{version}"


def weights_file(model: str) -> Path:
    """Find the network to start training from: a `.keras` file, or the first one of a model.

    Raises:
        RegistryError: there is no such file, or no such model in the registry.
    """
    named = model == builtin.ADDRESS or model.startswith("models:/")
    file = model_folder(model) / MODEL_FILE if named else Path(model)
    if not file.is_file():
        raise RegistryError(f"train.init_from: expected a .keras file, models:/… or builtin, found no {file}")
    return file


def _client() -> "MlflowClient":
    from glioseg.lab.tracking import connect  # MLflow takes seconds to import, and a folder needs none of it

    return connect(Lab.here())

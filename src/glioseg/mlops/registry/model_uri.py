"""The files of a model, found by its address: in a folder, in the registry, or in the package."""

from pathlib import Path
from typing import TYPE_CHECKING

from glioseg.core.errors import GliosegError
from glioseg.mlops.registry.lookup import champion_version
from glioseg.mlops.tracking.storage import Lab, download_folder
from glioseg.models.inference import builtin
from glioseg.models.inference.predictor import MODEL_FILE

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
        return Path(download_artifacts(model, dst_path=download_folder())) / "artifacts"
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
    from glioseg.mlops.tracking.mlflow_runs import (
        connect,  # MLflow takes seconds to import, and a folder needs none of it
    )

    return connect(Lab.here())

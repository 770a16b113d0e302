"""Model addresses: the version of the champion, and the folder with the files of a model.

Importing MLflow takes four seconds, so the lookups of versions read MLflow's SQLite tables directly. They
return None if a table is missing or the database is not a file; their callers then use MLflow.
"""

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from glioseg.core.errors import GliosegError
from glioseg.core.extras import optional_imports
from glioseg.core.files import expand_user
from glioseg.mlops.tracking.storage import ProjectStorage
from glioseg.models import builtin
from glioseg.models.networks.keras_file import MODEL_FILE

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

NAME = "glioseg"
CHAMPION = f"models:/{NAME}@champion"
NO_CHAMPION = "there is no champion; `glioseg rollback --to {version}` makes version {version} the champion"
"""The line on a registered model without the alias, which the gate refused or a person removed in MLflow."""

VERSION_QUERY = """
    SELECT MAX(versions.version) FROM model_versions AS versions
    WHERE versions.name = :name AND versions.current_stage <> 'Deleted_Internal'
      AND EXISTS (
        SELECT 1 FROM model_version_tags AS tags
        WHERE tags.name = versions.name AND tags.version = versions.version
          AND tags.key IN ('gate_decision', 'verdict'))
      AND :count = (
        SELECT COUNT(*) FROM model_version_tags AS tags
        JOIN json_each(:tags) AS wanted ON tags.key = wanted.key AND tags.value = wanted.value
        WHERE tags.name = versions.name AND tags.version = versions.version)
"""
CHAMPION_QUERY = "SELECT version FROM registered_model_aliases WHERE name = :name AND alias = 'champion'"
LAST_CHAMPION_QUERY = """
    SELECT versions.version FROM model_versions AS versions
    LEFT JOIN model_version_tags AS since
      ON since.name = versions.name AND since.version = versions.version AND since.key = 'champion_since'
    LEFT JOIN model_version_tags AS until
      ON until.name = versions.name AND until.version = versions.version AND until.key = 'champion_until'
    WHERE versions.name = :name AND versions.current_stage <> 'Deleted_Internal'
    ORDER BY since.value IS NOT NULL AND until.value IS NULL DESC, versions.version DESC
"""
"""The version that was champion until its alias was removed, else the newest version."""


class RegistryError(GliosegError):
    """A registered model, or a version or file of one, that does not exist; the message names it."""


def default_model(storage: ProjectStorage) -> str:
    """The address of the champion; without one, the address of the built-in model."""
    registered = storage.shared or champion_version(storage.database, name=NAME)
    return CHAMPION if registered else builtin.ADDRESS


def why_builtin(storage: ProjectStorage) -> str:
    """The line that says why `default_model` is the built-in model."""
    version = _select(storage.database, LAST_CHAMPION_QUERY, {"name": NAME})
    if version is None:
        return "no model is registered in this project: the built-in model is used"
    return f"the built-in model is used: {NO_CHAMPION.format(version=version)}"


def model_folder(model: str) -> Path:
    """The folder with `model.keras` and `settings.json`.

    Args:
        model: such a folder, the address of a registered model, e.g. `models:/glioseg@champion`, or
            the name of a built-in model.

    Raises:
        RegistryError: the registry has no such model, or its files are missing.
        MissingPackageError: it is registered, and MLflow is not installed.
        GliosegError: the built-in model is damaged.
    """
    if builtin.is_builtin(model):
        return builtin.builtin_model(model)
    if not model.startswith("models:/"):
        return expand_user(Path(model))
    _client(model)
    from mlflow.exceptions import MlflowException

    from glioseg.mlops.tracking.mlflow_runs import download

    try:
        return download(model) / "artifacts"
    except MlflowException as error:
        raise RegistryError(not_in_registry(model, error)) from None
    except OSError as error:
        raise RegistryError(f"{model}: its files are missing: {error}") from None


def not_in_registry(model: str, error: "MlflowException") -> str:
    """The message on an unknown address; for a champion, with the command that sets the alias."""
    way_out = "; `glioseg rollback --to VERSION` sets it" if model.endswith("@champion") else ""
    return f"{model}: not in the registry: {error.message}{way_out}"


def resolve_alias(model: str) -> str:
    """The address of the version that an alias names now: `models:/glioseg/3`; other addresses are unchanged.

    Raises:
        RegistryError: the registry has no such alias.
        MissingPackageError: MLflow is not installed.
    """
    name, _, alias = model.removeprefix("models:/").partition("@")
    if not model.startswith("models:/") or not alias:
        return model
    client = _client(model)
    from mlflow.exceptions import MlflowException

    try:
        version = client.get_model_version_by_alias(name, alias).version
    except MlflowException as error:
        raise RegistryError(not_in_registry(model, error)) from None
    return f"models:/{name}/{version}"


def weights_file(model: str) -> Path:
    """The network to start training from: a `.keras` file, or the first network of a model.

    Raises:
        RegistryError: the file does not exist, or the registry has no such model.
    """
    named = builtin.is_builtin(model) or model.startswith("models:/")
    file = model_folder(model) / MODEL_FILE if named else Path(model)
    if not file.is_file():
        raise RegistryError(f"train.init_from: expected a .keras file, models:/… or builtin, found no {file}")
    return file


def _client(model: str) -> "MlflowClient":
    with optional_imports(model):
        # Importing MLflow takes seconds, and a folder as address needs no MLflow.
        from glioseg.mlops.tracking.mlflow_runs import connect

    return connect(ProjectStorage.current())


def find_version(database: Path | None, *, name: str, tags: Mapping[str, str]) -> int | None:
    """The newest version of a registered model that has all these tags and the gate's decision, or None.

    Args:
        database: MLflow's SQLite file, if there is one; it is only read.
        name: of the registered model.
        tags: the version must have all of them.
    """
    values = {"name": name, "tags": json.dumps(dict(tags)), "count": len(tags)}
    return _select(database, VERSION_QUERY, values)


def champion_version(database: Path | None, *, name: str) -> int | None:
    """The version with the alias `champion`, or None."""
    return _select(database, CHAMPION_QUERY, {"name": name})


def _select(database: Path | None, query: str, values: Mapping[str, object]) -> int | None:
    if database is None:
        return None
    try:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
            row = connection.execute(query, values).fetchone()
    except sqlite3.Error:
        return None
    return None if row is None or row[0] is None else int(row[0])

"""Which version an alias of MLflow's registry stands for: asked each second by who follows it."""

import re

from mlflow.exceptions import MlflowException

from glioseg.lab.addresses import Lab
from glioseg.lab.known import champion_version
from glioseg.lab.registry import CHAMPION, RegistryError
from glioseg.lab.tracking import connect

ALIASED = re.compile(r"models:/([^/@]+)@([^/@]+)")


def pinned(model: str) -> str:
    """The version that an alias stands for now; what names no alias stands for itself.

    Args:
        model: a model's address, e.g. `models:/glioseg@champion`, or a folder.

    Returns:
        e.g. `models:/glioseg/3`.

    Raises:
        RegistryError: the registry has no such model or alias.
    """
    found = ALIASED.fullmatch(model)
    if found is None:
        return model
    name, alias = found.groups()
    version = champion_version(Lab.here().database, name=name) if alias == CHAMPION else None
    try:
        version = version or connect(Lab.here()).get_model_version_by_alias(name, alias).version
    except MlflowException as error:
        raise RegistryError(f"{model}: not in the registry: {error.message}") from None
    return f"models:/{name}/{version}"

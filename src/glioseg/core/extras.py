"""Optional packages: which extra of glioseg installs them, and the error if they are missing."""

from collections.abc import Iterator
from contextlib import contextmanager

from glioseg.core.errors import GliosegError

_TRACK = (
    "fsspec",
    "jinja2",
    "matplotlib",
    "mlflow",
    "optuna",
    "optuna_dashboard",
    "pandas",
    "plotly",
    "sklearn",
    "sqlalchemy",
)
EXTRAS = {
    "track": _TRACK,
    "train": (*_TRACK, "blosc2", "great_expectations", "nilearn", "tifffile"),
    "serve": ("fastapi", "nilearn", "prometheus_client", "python_multipart", "starlette", "uvicorn"),
    "cluster": ("dask", "dask_jobqueue", "distributed"),
    "postgres": ("psycopg",),
    "s3": ("botocore", "s3fs"),
}
"""The modules of each extra in pyproject.toml that glioseg imports and does not always need."""


class MissingPackageError(GliosegError, ImportError):
    """A package of an extra that is not installed; the message names both."""


def missing_package(error: BaseException, extra: str | None = None) -> str | None:
    """What to install after a failed import.

    Args:
        error: any error.
        extra: the extra of the command or stage, which is named if it has the package.

    Returns:
        None if the error has another cause than a missing package of `EXTRAS`.

    >>> missing_package(ModuleNotFoundError("No module named 'mlflow'", name="mlflow.entities"))
    "needs packages that are not installed (mlflow): pip install 'glioseg[track]'"
    """
    name = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    found = [each for each, packages in EXTRAS.items() if name in packages]
    if not found:
        return None
    wanted = extra if extra in found else found[0]
    return f"needs packages that are not installed ({name}): pip install 'glioseg[{wanted}]'"


@contextmanager
def optional_imports(user: str) -> Iterator[None]:
    """Context for imports of optional packages.

    Args:
        user: the setting or the address that needs them; the error begins with it.

    Raises:
        MissingPackageError: one is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if message := missing_package(error):
            raise MissingPackageError(f"{user}: {message}") from None
        raise

"""The model version in use: loaded at the start, and again whenever its alias in the registry moves."""

import logging
import time
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

import numpy as np

from glioseg.core.errors import GliosegError
from glioseg.core.fingerprint import folder_fingerprint
from glioseg.core.modalities import MODALITIES
from glioseg.core.nifti import Grid, Volume
from glioseg.mlops.tracking.model_uri import (
    champion_version,
    default_model,
    model_folder,
    resolve_alias,
    why_builtin,
)
from glioseg.mlops.tracking.storage import ProjectStorage
from glioseg.models import builtin
from glioseg.models.inference.loading import load_model
from glioseg.models.inference.predictor import Predictor
from glioseg.params.contract import Contract

LOG = logging.getLogger("glioseg.serving")
REGISTERED = "models:/"
CHECK_INTERVAL_S, RETRY_INTERVAL_S = 2.0, 60.0
"""Intervals between checks of the alias, and between attempts to load a version that failed to load."""


@dataclass(frozen=True)
class LoadedVersion:
    """A loaded model version, with its contract.

    `address`: `models:/NAME/VERSION` or a folder; `model`, `version`: as the service reports them.
    """

    address: str
    model: str
    version: str
    predictor: Predictor
    contract: Contract


def load_version(address: str) -> LoadedVersion:
    """Load a version and run it once, so that the first real case does not wait for compilation.

    Args:
        address: `models:/NAME/3`, or a folder.

    Raises:
        GliosegError: the version does not exist, or it cannot be loaded.
    """
    folder = model_folder(address)
    predictor = load_model(folder)
    version = LoadedVersion(address, *_name(address, folder), predictor, predictor.contract)
    # Compiles the network, and detects a model that can be loaded but not run.
    version.predictor.predict(dict.fromkeys(MODALITIES, _tiny_scan()))
    return version


def _name(address: str, folder: Path) -> tuple[str, str]:
    """Name and version of a model; the version of a folder is a hash of its files."""
    if address.startswith(REGISTERED):
        name, _, version = address.removeprefix(REGISTERED).partition("/")
        return name, version
    name = address if builtin.is_builtin(address) else folder.resolve().name
    return name, folder_fingerprint(folder)[:12]


def _tiny_scan() -> Volume:
    data = np.random.default_rng(0).integers(1, 100, (16, 16, 16), np.int16)
    return Volume(data, Grid((16, 16, 16), np.diag([-1.0, -1.0, 1.0, 1.0])))


def _target_address(model: str | None) -> str:
    """The address of the version that the alias names now; it is read from SQLite: MLflow is much slower."""
    if model is None:
        model = default_model(ProjectStorage.current())
    name, _, alias = model.removeprefix(REGISTERED).partition("@")
    version = champion_version(ProjectStorage.current().database, name=name) if alias == "champion" else None
    return f"{REGISTERED}{name}/{version}" if version else resolve_alias(model)


class ModelReloader:
    """Holds the version in use, and replaces it between two requests when its alias moves.

    Args:
        model: `models:/NAME@ALIAS`, `models:/NAME/3`, `builtin` or a folder; None: the champion, or the
            built-in model as long as there is no champion.

    Raises:
        GliosegError: the model does not exist, or it cannot be loaded.
    """

    def __init__(self, model: str | None) -> None:
        self._model = model
        self._failed_address, self._retry_at = "", 0.0
        self._stop = Event()
        self._thread = Thread(target=self._run, name="model-reloader", daemon=True)
        self.current = load_version(_target_address(model))
        if model is None and self.current.address == builtin.ADDRESS:
            LOG.info(why_builtin(ProjectStorage.current()))
        self.problem: str | None = None

    def start(self) -> None:
        """Check the alias regularly until `stop`; a model without an alias is never reloaded."""
        if self._model is None or (self._model.startswith(REGISTERED) and "@" in self._model):
            self._thread.start()

    def stop(self) -> None:
        """Stop checking."""
        self._stop.set()

    def check(self) -> None:
        """Load the version that the alias names now, unless it is in use already."""
        address = self.current.address
        try:
            address = _target_address(self._model)
            if address != self.current.address and self._may_try(address):
                self.current = load_version(address)
                LOG.info("version %s is in use now", self.current.version)
            if address == self.current.address:
                self.problem = None
        except Exception as error:  # on any error, the current version stays in use
            self._fail(address, error)

    def _may_try(self, address: str) -> bool:
        return address != self._failed_address or time.monotonic() >= self._retry_at

    def _fail(self, address: str, error: Exception) -> None:
        problem = " ".join(f"{address}: {error}".split())
        self._failed_address, self._retry_at = address, time.monotonic() + RETRY_INTERVAL_S
        if problem != self.problem:
            bug = None if isinstance(error, GliosegError | OSError) else error  # logged with its traceback
            LOG.error("version %s stays in use: %s", self.current.version, problem, exc_info=bug)
        self.problem = problem

    def _run(self) -> None:
        while not self._stop.wait(CHECK_INTERVAL_S):
            self.check()

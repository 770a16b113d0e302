"""The version that answers: loaded once, or as an alias of the registry moves."""

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
from glioseg.mlops.tracking.model_uri import champion_version, default_model, model_folder, pinned
from glioseg.mlops.tracking.storage import Lab
from glioseg.models import builtin
from glioseg.models.inference.predictor import Segmenter, load_model
from glioseg.params.contract import Contract

LOG = logging.getLogger("glioseg.serving")
REGISTERED = "models:/"
LOOK_S, AGAIN_S = 2.0, 60.0
"""How often the alias is looked up, and when a version that could not be loaded is tried again."""


@dataclass(frozen=True)
class Version:
    """A version of a model, ready to answer, with the contract that came with it."""

    address: str
    model: str
    version: str
    segmenter: Segmenter
    contract: Contract


def load_version(address: str) -> Version:
    """Load a version and let it answer once, so that its first real case need not wait.

    Args:
        address: `models:/NAME/3`, or a folder.

    Raises:
        GliosegError: there is none, or it cannot be loaded.
    """
    folder = model_folder(address)
    segmenter = load_model(folder)
    version = Version(address, *_name(address, folder), segmenter, segmenter.contract)
    # Its network is compiled now, and one that loads but cannot answer shows it here.
    version.segmenter.answer(dict.fromkeys(MODALITIES, _tiny_scan()))
    return version


def _name(address: str, folder: Path) -> tuple[str, str]:
    """Name and version; a folder's version is a hash of its files."""
    if address.startswith(REGISTERED):
        name, _, version = address.removeprefix(REGISTERED).partition("/")
        return name, version
    name = address if address == builtin.ADDRESS else folder.resolve().name
    return name, folder_fingerprint(folder)[:12]


def _tiny_scan() -> Volume:
    data = np.random.default_rng(0).integers(1, 100, (16, 16, 16), np.int16)
    return Volume(data, Grid((16, 16, 16), np.diag([-1.0, -1.0, 1.0, 1.0])))


def _meant(model: str | None) -> str:
    """The address of the version that is meant now; SQLite knows it many times faster than MLflow."""
    if model is None:
        model = default_model(Lab.here())
    name, _, alias = model.removeprefix(REGISTERED).partition("@")
    version = champion_version(Lab.here().database, name=name) if alias == "champion" else None
    return f"{REGISTERED}{name}/{version}" if version else pinned(model)


class Follower:
    """Holds the version that answers, and changes it between two requests when its alias moves.

    Args:
        model: `models:/NAME@ALIAS`, `models:/NAME/3`, `builtin` or a folder; None: the champion, and the
            built-in model for as long as there is none.

    Raises:
        GliosegError: there is no such model, or it cannot be loaded.
    """

    def __init__(self, model: str | None) -> None:
        self._model = model
        self._failed, self._again_at = "", 0.0
        self._stop = Event()
        self._thread = Thread(target=self._follow, name="follower", daemon=True)
        self.current = load_version(_meant(model))
        self.problem: str | None = None

    def start(self) -> None:
        """Follow the alias, if there is one, until `stop`."""
        if self._model is None or (self._model.startswith(REGISTERED) and "@" in self._model):
            self._thread.start()

    def stop(self) -> None:
        """Stop following."""
        self._stop.set()

    def look(self) -> None:
        """Load the version that the alias stands for now, unless it is loaded already."""
        address = self.current.address
        try:
            address = _meant(self._model)
            if address != self.current.address and self._worth_trying(address):
                self.current = load_version(address)
                LOG.info("version %s answers now", self.current.version)
            if address == self.current.address:
                self.problem = None
        except Exception as error:  # whatever it is, the version that answers goes on answering
            self._fail(address, error)

    def _worth_trying(self, address: str) -> bool:
        return address != self._failed or time.monotonic() >= self._again_at

    def _fail(self, address: str, error: Exception) -> None:
        problem = " ".join(f"{address}: {error}".split())
        self._failed, self._again_at = address, time.monotonic() + AGAIN_S
        if problem != self.problem:
            fault = None if isinstance(error, GliosegError | OSError) else error  # with its traceback
            LOG.error("version %s goes on answering: %s", self.current.version, problem, exc_info=fault)
        self.problem = problem

    def _follow(self) -> None:
        while not self._stop.wait(LOOK_S):
            self.look()

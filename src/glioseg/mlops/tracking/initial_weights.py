"""Which weights training starts from: noted by a stage, so that DVC sees when they are others.

What `train.init_from` names lies outside DVC's sight: in the registry, where an alias moves, in the
package, or in a file of the user's.
"""

import json
from pathlib import Path
from typing import Any

from glioseg.core.files import read_json, write_whole
from glioseg.core.fingerprint import sha256_file
from glioseg.core.settings_file import ParamsError

NOTE = Path("models/initial_weights.json")


def note_weights(init_from: str | None) -> str:
    """Write down which weights `train.init_from` names, by their hash; a line that says it.

    Where they are not on this machine, the note about them stays as it is: results may have been pulled.

    Raises:
        RegistryError: there are no such weights, and no note about them.
    """
    if init_from is None:
        write_whole(NOTE, _note(None, None))
        return "training starts from random weights"
    from glioseg.mlops.tracking.model_uri import RegistryError, weights_file  # takes a second to import

    try:
        file = weights_file(init_from)
    except RegistryError:
        if _noted().get("init_from") != init_from:
            raise
        return f"{init_from} is not on this machine: the note about it stays as it is"
    write_whole(NOTE, _note(init_from, digest := sha256_file(file)))
    return f"training starts from {init_from}, SHA-256 {digest}"


def noted_weights(init_from: str | None) -> Path | None:
    """The file of the weights to start from, if it is still the one that was noted; None: random weights.

    Raises:
        RegistryError: there are no such weights.
        ParamsError: they are not those that were noted, or none were.
    """
    if init_from is None:
        return None
    from glioseg.mlops.tracking.model_uri import weights_file

    file = weights_file(init_from)
    expected, found = noted_digest(), sha256_file(file)
    if found != expected:
        raise ParamsError(
            f"train.init_from: {init_from}: expected the weights that {NOTE} names, SHA-256 {expected},"
            f" got {found}; run `dvc repro` again"
        )
    return file


def noted_digest() -> str | None:
    """The hash of the weights that were noted; None: random weights."""
    digest: str | None = _noted().get("sha256")
    return digest


def _note(init_from: str | None, digest: str | None) -> bytes:
    return json.dumps({"init_from": init_from, "sha256": digest}, indent=2).encode() + b"\n"


def _noted() -> dict[str, Any]:
    noted: dict[str, Any] = read_json(NOTE) if NOTE.exists() else {}
    return noted

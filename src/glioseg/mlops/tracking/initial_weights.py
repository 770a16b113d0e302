"""The weights that training starts from: a stage records their hash, so that DVC detects a change.

DVC does not track the weights that `train.init_from` names: they may belong to a model of the registry, whose
alias can move, to the built-in model, or be a file of the user.
"""

import json
from pathlib import Path
from typing import Any

from glioseg.core.files import read_json, write_atomic
from glioseg.core.fingerprint import sha256_file
from glioseg.params.settings_file import ParamsError

RECORD_FILE = Path("models/initial_weights.json")


def record_initial_weights(init_from: str | None) -> str:
    """Record the hash of the weights that `train.init_from` names.

    If they are not on this machine, an earlier record of them is kept: results may come from `dvc pull`.

    Returns:
        One line that describes the record.

    Raises:
        RegistryError: the weights do not exist, and there is no record of them.
    """
    if init_from is None:
        write_atomic(RECORD_FILE, _record(None, None))
        return "training starts from random weights"
    from glioseg.mlops.tracking.model_uri import RegistryError, weights_file  # takes a second to import

    try:
        file = weights_file(init_from)
    except RegistryError:
        if _read_record().get("init_from") != init_from:
            raise
        return f"{init_from} is not on this machine: the record of its hash is kept"
    write_atomic(RECORD_FILE, _record(init_from, digest := sha256_file(file)))
    return f"training starts from {init_from}, SHA-256 {digest}"


def recorded_weights(init_from: str | None) -> Path | None:
    """The file of the weights to start from, checked against the recorded hash; None: random weights.

    Raises:
        RegistryError: the weights do not exist.
        ParamsError: their hash differs from the recorded one, or none is recorded.
    """
    if init_from is None:
        return None
    from glioseg.mlops.tracking.model_uri import weights_file

    file = weights_file(init_from)
    expected, found = recorded_hash(), sha256_file(file)
    if found != expected:
        raise ParamsError(
            f"train.init_from: {init_from}: expected the weights that {RECORD_FILE} names,"
            f" SHA-256 {expected}, got {found}; run `dvc repro` again"
        )
    return file


def recorded_hash() -> str | None:
    """The recorded hash of the weights; None: random weights."""
    recorded: str | None = _read_record().get("sha256")
    return recorded


def _record(init_from: str | None, digest: str | None) -> bytes:
    return json.dumps({"init_from": init_from, "sha256": digest}, indent=2).encode() + b"\n"


def _read_record() -> dict[str, Any]:
    record: dict[str, Any] = read_json(RECORD_FILE) if RECORD_FILE.exists() else {}
    return record

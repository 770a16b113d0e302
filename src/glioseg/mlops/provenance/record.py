"""The lineage record of a registered version: its file format, and reading it from the registry."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from glioseg.core.errors import GliosegError
from glioseg.core.files import read_json, write_atomic
from glioseg.core.fingerprint import sha256_bytes
from glioseg.mlops.tracking.git_dvc import UNKNOWN
from glioseg.mlops.tracking.mlflow_runs import download
from glioseg.mlops.tracking.model_files import CONTENT_HASH, FILES_HASH, ModelFiles
from glioseg.mlops.tracking.model_uri import not_in_registry

RECORD = "lineage.json"
RECORD_HASH = "lineage_sha256"
"""The version's tag with the hash of lineage.json, which in turn holds the hashes of the other files."""
ADDRESS = re.compile(r"models:/(?P<name>[^/@]+)(/(?P<version>\d+)|@(?P<alias>[^/]+))")
CHANGED = f"{RECORD} was changed after the version was registered"
OLDER_PYFUNC_FILE = "serving/model.py"
"""The only code file that the content hash of older versions covers: MLflow ran it to predict."""
OLDER = "nothing was recorded with this version: it was registered before glioseg recorded lineages"


class LineageError(GliosegError):
    """A version that does not exist, or whose files are missing or changed; the message names it."""


def lineage_folder(name: str, version: str) -> str:
    """The folder of a version's lineage among its artifacts; one model may be registered under two names.

    >>> lineage_folder("glioseg", "3")
    'lineage/glioseg-3'
    """
    return f"lineage/{name}-{version}"


@dataclass(frozen=True)
class Record:
    """The content of lineage.json.

    `facts` maps the name of each known fact to its value, `missing` the name of each unknown fact to the
    reason, and `files` each recorded file to its SHA-256.
    """

    facts: Mapping[str, Any]
    missing: Mapping[str, str]
    files: Mapping[str, str]

    def save(self, folder: Path) -> None:
        """Write the record beside the files that it names."""
        content = {"facts": self.facts, "missing": self.missing, "files": self.files}
        write_atomic(folder / RECORD, json.dumps(content, indent=1).encode() + b"\n")

    @classmethod
    def load(cls, folder: Path) -> "Record":
        """Read what `save` wrote."""
        content = read_json(folder / RECORD)
        return cls(content["facts"], content["missing"], content["files"])


@dataclass(frozen=True)
class RecordedVersion:
    """A registered version with its lineage record; `folder` is None if nothing was recorded.

    `changed` names the recorded files whose content changed after the version was registered. If lineage.json
    is one of them, `record` contains only the facts in the version's tags.
    """

    version: ModelVersion
    folder: Path | None
    record: Record
    changed: tuple[str, ...]

    @property
    def address(self) -> str:
        """The model address with the version's number, since an alias may move."""
        return f"models:/{self.version.name}/{self.version.version}"

    def why_missing(self, fact: str) -> str:
        """The reason why a fact is unknown."""
        default = CHANGED if self.changed else OLDER
        return self.record.missing.get(fact, default)


def open_version(client: MlflowClient, address: str) -> RecordedVersion:
    """Find a registered version and its lineage record.

    Args:
        client: from `mlflow_runs.connect`.
        address: `models:/NAME/VERSION` or `models:/NAME@ALIAS`.

    Raises:
        LineageError: the address has another form, or there is no such version.
    """
    match = ADDRESS.fullmatch(address)
    if not match:
        raise LineageError(f"{address}: expected models:/NAME/VERSION or models:/NAME@ALIAS")
    name, number, alias = match["name"], match["version"], match["alias"]
    try:
        version = (
            client.get_model_version(name, number)
            if number
            else client.get_model_version_by_alias(name, alias)
        )
    except MlflowException as error:
        raise LineageError(not_in_registry(address, error)) from None
    folder = _download(version)
    if folder is None:
        return RecordedVersion(version, None, _from_tags(version.tags), ())
    if sha256_bytes((folder / RECORD).read_bytes()) != version.tags.get(RECORD_HASH):
        return RecordedVersion(version, folder, _from_tags(version.tags), (RECORD,))
    record = Record.load(folder)
    changed = [name for name, expected in record.files.items() if _hash(folder / name) != expected]
    return RecordedVersion(version, folder, record, tuple(changed))


def _download(version: ModelVersion) -> Path | None:
    """The local folder of the version's lineage files, or None if there are none."""
    address = f"models:/{version.name}/{version.version}"
    inside = lineage_folder(version.name, version.version)
    try:
        folder = download(f"{address}/{inside}")
    except (MlflowException, OSError):
        return None
    return folder if (folder / RECORD).is_file() else None


def _hash(file: Path) -> str | None:
    return sha256_bytes(file.read_bytes()) if file.is_file() else None


def _from_tags(tags: dict[str, str]) -> Record:
    """The facts that the tags of a version without a valid record contain."""
    known = {name: value for name, value in tags.items() if value != UNKNOWN}
    facts: dict[str, object] = {}
    if "trained_run" in known:
        facts["training"] = {"run_id": known["trained_run"], "model_id": None}
    if "data_version" in known:
        facts["cropped_data"] = {"md5": known["data_version"]}
    if "environment" in known:
        facts["environment"] = {"sha256": known["environment"]}
    if known.get("git_dirty") == "false" and "git_commit" in known:
        facts["code"] = {"commit": known["git_commit"], "changed": [], "untracked": []}
    return Record(facts, {}, {})


def model_files(recorded: RecordedVersion) -> Path:
    """The folder of a version's network and settings, after a check of their hash.

    Raises:
        LineageError: the files are missing, or differ from the registered files.
    """
    try:
        top = download(recorded.address)
        source = ModelFiles(sorted((top / "artifacts").iterdir()), top / "code" / "glioseg")
        content = source.files_hash if FILES_HASH in recorded.version.tags else _content_of_older(source)
    except (MlflowException, OSError) as error:
        raise LineageError(f"{recorded.address}: its files are missing: {error}") from None
    registered = recorded.version.tags.get(FILES_HASH, recorded.version.tags.get(CONTENT_HASH))
    if content != registered:
        raise LineageError(
            f"{recorded.address}: its files are not those that were registered:"
            f" expected content {registered}, got {content}"
        )
    return top / "artifacts"


def _content_of_older(source: ModelFiles) -> str:
    """The content hash of older versions, which covered one file of the code instead of all of it."""
    files = [*source.files, source.package / OLDER_PYFUNC_FILE]
    return sha256_bytes(repr(sorted((file.name, sha256_bytes(file.read_bytes())) for file in files)).encode())

"""A registered version with what was kept of how it came to be."""

import re
from dataclasses import dataclass
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from glioseg.core.errors import GliosegError
from glioseg.mlops.provenance.collectors import RECORD, Record
from glioseg.mlops.provenance.recorder import SEAL, folder_of
from glioseg.mlops.tracking.candidate import CONTENT, FILES, Source
from glioseg.mlops.tracking.fingerprints import UNKNOWN, sha256
from glioseg.mlops.tracking.storage import download_folder

ADDRESS = re.compile(r"models:/(?P<name>[^/@]+)(/(?P<version>\d+)|@(?P<alias>[^/]+))")
CHANGED = f"{RECORD} was changed after the version was registered"
OLDER = "nothing was kept with this version: it was registered before glioseg kept a lineage"


class LineageError(GliosegError):
    """A version that is not there, or whose files cannot be trusted; the message names it."""


@dataclass(frozen=True)
class Kept:
    """A version, and what was kept with it: `folder` is None where that is nothing.

    `changed` names the kept files that are no longer what they were when the version was registered. If
    lineage.json is one of them, `record` holds what the version's tags tell and nothing of that file.
    """

    version: ModelVersion
    folder: Path | None
    record: Record
    changed: tuple[str, ...]

    @property
    def address(self) -> str:
        """The version by its number: an alias may move."""
        return f"models:/{self.version.name}/{self.version.version}"

    def why(self, fact: str) -> str:
        """Why a fact is not known."""
        otherwise = CHANGED if self.changed else OLDER
        return self.record.missing.get(fact, otherwise)


def open_version(client: MlflowClient, address: str) -> Kept:
    """Find a registered version and what was kept with it.

    Args:
        client: as from `tracking.connect`.
        address: `models:/NAME/VERSION` or `models:/NAME@ALIAS`.

    Raises:
        LineageError: another address, or no such version.
    """
    match = ADDRESS.fullmatch(address)
    if not match:
        raise LineageError(f"{address}: expected models:/NAME/VERSION or models:/NAME@ALIAS")
    name, number, alias = match["name"], match["version"], match["alias"]
    try:
        found = (
            client.get_model_version(name, number)
            if number
            else client.get_model_version_by_alias(name, alias)
        )
    except MlflowException as error:
        raise LineageError(f"{address}: not in the registry: {error.message}") from None
    folder = _folder(found)
    if folder is None:
        return Kept(found, None, _from_tags(found.tags), ())
    if sha256((folder / RECORD).read_bytes()) != found.tags.get(SEAL):
        return Kept(found, folder, _from_tags(found.tags), (RECORD,))
    record = Record.load(folder)
    changed = [name for name, known in record.files.items() if _hash(folder / name) != known]
    return Kept(found, folder, record, tuple(changed))


def _folder(version: ModelVersion) -> Path | None:
    try:
        address = f"models:/{version.name}/{version.version}"
        inside = folder_of(version.name, version.version)
        place = mlflow.artifacts.download_artifacts(f"{address}/{inside}", dst_path=download_folder())
    except (MlflowException, OSError):
        return None
    return Path(place) if (Path(place) / RECORD).is_file() else None


def _hash(file: Path) -> str | None:
    return sha256(file.read_bytes()) if file.is_file() else None


def _from_tags(tags: dict[str, str]) -> Record:
    """What the tags of an older version tell."""
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


def model_files(kept: Kept) -> Path:
    """The folder of a version's own network and settings, once it is sure that they are its own.

    Raises:
        LineageError: they are not there, or not what was registered.
    """
    try:
        top = Path(mlflow.artifacts.download_artifacts(kept.address, dst_path=download_folder()))
        source = Source(sorted((top / "artifacts").iterdir()), top / "code" / "glioseg")
        content = source.carried if FILES in kept.version.tags else _content_before(source)
    except (MlflowException, OSError) as error:
        raise LineageError(f"{kept.address}: its files are not there: {error}") from None
    registered = kept.version.tags.get(FILES, kept.version.tags.get(CONTENT))
    if content != registered:
        raise LineageError(
            f"{kept.address}: its files are not those that were registered:"
            f" expected content {registered}, got {content}"
        )
    return top / "artifacts"


def _content_before(source: Source) -> str:
    """The content of a version that was registered before all of its code counted: of one file of code."""
    files = [*source.files, source.entry]
    return sha256(repr(sorted((file.name, sha256(file.read_bytes())) for file in files)).encode())

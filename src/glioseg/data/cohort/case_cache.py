"""Per-case cache: when a stage runs again, it processes only the cases that changed.

`<folder>/<key>/` holds the result of a stage for one case: files, and a JSON value in `record.json`. The
key is a hash of everything that the result depends on, so an entry is either valid or not found. A stage
builds its outs from hard links to the files of the entries. So an interrupted stage continues after its last
finished case, and the disk holds each file once. The folder may be deleted at any time.
"""

import hashlib
import json
import os
import shutil
import socket
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from glioseg.compute import LOCAL, Cluster, ClusterError
from glioseg.core.files import link_or_copy, name_in_errors, read_json, remove_folder_atomic, write_atomic
from glioseg.core.fingerprint import code_fingerprint, sha256_file
from glioseg.data.cohort.cases import Case

Item = TypeVar("Item")
Work = Callable[[Item, Path], Any]

RECORD = "record.json"
UNREADABLE = ""
"""The digest of a file that cannot be read; the table of digests never stores it."""


@dataclass(frozen=True)
class CacheEntry:
    """The result of a stage for one case: record.json, and other files beside it."""

    folder: Path

    @property
    def result(self) -> Any:
        """The JSON value that the work returned."""
        return read_json(self.folder / RECORD)

    def link_files(self, target: Path) -> None:
        """Make a folder with hard links to the files, or with copies on a file system without links."""
        target.mkdir()
        for file in self.folder.iterdir():
            if file.name != RECORD:
                link_or_copy(file, target / file.name)


def map_cached(
    work: Work[Item],
    items: Sequence[Item],
    *,
    code: str,
    key: Callable[[Item], object],
    inputs: Callable[[Item], Iterable[Path]],
    folder: Path,
    title: str,
    cluster: Cluster = LOCAL,
) -> list[CacheEntry]:
    """Apply `work` to each case without a cache entry, and remove the entries of all other cases.

    Args:
        work: a picklable function of a case and an empty folder for its files; returns the JSON value.
        items: one item per case.
        code: name of the module with the code of the work; the key also covers everything that it imports.
        key: everything else that the result depends on, as a JSON value.
        inputs: the files of a case that this machine can read; a worker that cannot read one raises an error.
        folder: folder of the entries of this stage.
        title: title of the progress line.
        cluster: workers that run `work`.

    Returns:
        The entries in the order of the cases.

    Raises:
        The first error of `work`, or ClusterError; entries that are finished by then remain.
    """
    fingerprint = code_fingerprint(code)
    entries = [CacheEntry(folder / _hash([fingerprint, key(item)])) for item in items]
    item_of = {entry.folder: item for entry, item in zip(entries, items, strict=True)}
    todo = [(path, item, tuple(inputs(item))) for path, item in item_of.items() if not path.exists()]
    cluster.map(partial(_make_entry, work), todo, title=title)
    _remove_others(folder, {entry.folder.name for entry in entries})
    return entries


def _make_entry(work: Work[Item], todo: tuple[Path, Item, tuple[Path, ...]]) -> None:
    """Write one entry. Two hosts may write it at once if one was presumed lost; the first result stays."""
    path, item, files = todo
    for file in files:
        if not os.access(file, os.R_OK):
            where = f"{file} on {socket.gethostname()}"
            raise ClusterError(f"{where}: expected the file that others can read, got none to read")
    if path.exists():
        return
    partial_path = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    partial_path.mkdir(parents=True)
    try:
        result = work(item, partial_path)
        with name_in_errors(partial_path / RECORD):
            (partial_path / RECORD).write_text(json.dumps(result))
        _rename_unless_exists(partial_path, path)
    finally:
        shutil.rmtree(partial_path, ignore_errors=True)


def _rename_unless_exists(source: Path, target: Path) -> None:
    try:
        source.rename(target)
    except OSError:
        if not target.exists():
            raise


def _remove_others(folder: Path, names: set[str]) -> None:
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.name not in names and path.is_dir():
            remove_folder_atomic(path)  # a partly removed entry could be mistaken for a valid one


def digest_cases(cases: Sequence[Case], *, records: Path, cluster: Cluster) -> dict[str, dict[str, str]]:
    """SHA-256 of every file of a raw cohort, by case and role; see `digest_files`."""
    files = [file for case in cases for file in case.files.values()]
    digests = digest_files(files, table=records / "raw.json", cluster=cluster)
    return {case.case: {role: digests[file] for role, file in case.files.items()} for case in cases}


def readable_files(case: Case, digests: Mapping[str, str]) -> list[Path]:
    """The files of a case that have a digest; files that cannot be read have none.

    Args:
        case: case of a raw cohort.
        digests: digests of its files by role, as from `digest_cases`.
    """
    return [file for role, file in case.files.items() if digests[role] != UNREADABLE]


def digest_files(files: Iterable[Path], *, table: Path, cluster: Cluster) -> dict[Path, str]:
    """SHA-256 of each file; files that are unchanged since the last call are not read again.

    Args:
        files: files of a cohort; a file that cannot be read has an empty digest.
        table: a JSON file that stores the digests by path, with size, time and inode.
        cluster: workers that read the files.
    """
    stored = read_json(table) if table.exists() else {}
    signatures = {file: file_signature(file) for file in files}
    new = [
        file
        for file, signature in signatures.items()
        if str(file) not in stored or stored[str(file)][:-1] != signature
    ]
    read = cluster.for_io.map(_file_digest, new, title="read files")
    # A file that another machine could not read may be readable here.
    fresh = {file: digest or _file_digest(file) for file, digest in zip(new, read, strict=True)}
    digests = {file: fresh[file] if file in fresh else stored[str(file)][-1] for file in signatures}
    rows = {
        str(file): [*signature, digests[file]]
        for file, signature in signatures.items()
        if digests[file] != UNREADABLE
    }
    write_atomic(table, json.dumps(rows).encode())
    return digests


def file_signature(file: Path) -> list[int]:
    """Size, time and inode of a file, which change with its content; empty if the file is missing."""
    try:
        stat = os.stat(file)
    except OSError:
        return []
    return [stat.st_size, stat.st_mtime_ns, stat.st_ino]


def _file_digest(file: Path) -> str:
    try:
        return sha256_file(file)
    except OSError:
        return UNREADABLE


def lists_to_tuples(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a dataclass from JSON, with lists, also of lists, turned back into tuples."""
    return {name: _to_tuples(value) for name, value in fields.items()}


def _to_tuples(value: Any) -> Any:
    return tuple(map(_to_tuples, value)) if isinstance(value, list) else value


def _hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:32]

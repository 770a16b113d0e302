"""What a stage remembers of each case, so that only what changed is done again.

`<folder>/<key>/` holds what the stage made of one case: its files, and `record.json` with what it found
out. The key is a hash of all that the result depends on, so a record is never out of date: it fits or
it is not found. Outs are put together from links to the records' files; so an interrupted stage goes on
where it stopped, and nothing is stored twice. A folder of records may be deleted at any time.
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
from glioseg.core.files import link_or_copy, named, read_json, remove_whole, write_whole
from glioseg.core.fingerprint import code_fingerprint, sha256_file
from glioseg.data.cohort.cases import Case

Item = TypeVar("Item")
Work = Callable[[Item, Path], Any]

RECORD = "record.json"
UNREAD = ""
"""The digest of a file that could not be read; it is never remembered."""


@dataclass(frozen=True)
class Record:
    """What a stage made of one case: the files beside record.json."""

    folder: Path

    @property
    def found(self) -> Any:
        """What the stage found out, as JSON holds it."""
        return read_json(self.folder / RECORD)

    def place(self, target: Path) -> None:
        """Put the files into a new folder, as links where the file system has them."""
        target.mkdir()
        for file in self.folder.iterdir():
            if file.name != RECORD:
                link_or_copy(file, target / file.name)


def record_cases(
    work: Work[Item],
    items: Sequence[Item],
    *,
    code: str,
    facts: Callable[[Item], object],
    reads: Callable[[Item], Iterable[Path]],
    folder: Path,
    title: str,
    cluster: Cluster = LOCAL,
) -> list[Record]:
    """Do the work for each case whose record is not there, and forget the cases that are not given.

    Args:
        work: a picklable function of a case and a new folder for its files; returns what record.json holds.
        items: one entry a case.
        code: name of the module whose code does the work; what it imports counts too.
        facts: all that the work's result depends on beside the code, as JSON holds it.
        reads: the files of a case that can be read here, so that a machine which cannot is found out.
        folder: of this stage's records.
        title: what the progress line says.
        cluster: where the work is done.

    Returns:
        The records in the order of the cases.

    Raises:
        Whatever `work` raises first, or ClusterError; what was done until then stays.
    """
    fingerprint = code_fingerprint(code)
    records = [Record(folder / _digest([fingerprint, facts(item)])) for item in items]
    places = {record.folder: item for record, item in zip(records, items, strict=True)}
    todo = [(place, item, tuple(reads(item))) for place, item in places.items() if not place.exists()]
    cluster.map(partial(_do, work), todo, title=title)
    _forget(folder, {record.folder.name for record in records})
    return records


def _do(work: Work[Item], todo: tuple[Path, Item, tuple[Path, ...]]) -> None:
    """Make one record. Two hosts may be at it, if one was taken for lost: the first to end has made it."""
    place, item, files = todo
    for file in files:
        if not os.access(file, os.R_OK):
            where = f"{file} on {socket.gethostname()}"
            raise ClusterError(f"{where}: expected the file that others can read, got none to read")
    if place.exists():
        return
    aside = place.with_name(f".{place.name}.{uuid.uuid4().hex}.part")
    aside.mkdir(parents=True)
    try:
        found = work(item, aside)
        with named(aside / RECORD):
            (aside / RECORD).write_text(json.dumps(found))
        _settle(aside, place)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _settle(aside: Path, place: Path) -> None:
    try:
        aside.rename(place)
    except OSError:
        if not place.exists():
            raise


def _forget(folder: Path, kept: set[str]) -> None:
    for old in folder.iterdir() if folder.is_dir() else ():
        if old.name not in kept and old.is_dir():
            remove_whole(old)  # half a record would pass for a record


def digest_cases(cases: Sequence[Case], *, records: Path, cluster: Cluster) -> dict[str, dict[str, str]]:
    """SHA-256 of every file of a raw cohort, by case and role; see `digest_files`."""
    files = [file for case in cases for file in case.files.values()]
    digests = digest_files(files, table=records / "raw.json", cluster=cluster)
    return {case.case: {role: digests[file] for role, file in case.files.items()} for case in cases}


def readable(case: Case, digests: Mapping[str, str]) -> list[Path]:
    """The files of a case that could be read when their digests were taken, by role."""
    return [file for role, file in case.files.items() if digests[role] != UNREAD]


def digest_files(files: Iterable[Path], *, table: Path, cluster: Cluster) -> dict[Path, str]:
    """SHA-256 of each file; one that is as it was when it was last read is not read again.

    Args:
        files: those of a cohort; one that cannot be read has an empty digest.
        table: the JSON file where digests are remembered, by path, size, time and inode.
        cluster: where files are read.
    """
    known = read_json(table) if table.exists() else {}
    marks = {file: file_mark(file) for file in files}
    new = [file for file, mark in marks.items() if str(file) not in known or known[str(file)][:-1] != mark]
    read = cluster.reading.map(_file_digest, new, title="read files")
    # What another machine could not read may be there for this one.
    fresh = {file: digest or _file_digest(file) for file, digest in zip(new, read, strict=True)}
    digests = {file: fresh[file] if file in fresh else known[str(file)][-1] for file in marks}
    rows = {str(file): [*mark, digests[file]] for file, mark in marks.items() if digests[file] != UNREAD}
    write_whole(table, json.dumps(rows).encode())
    return digests


def file_mark(file: Path) -> list[int]:
    """What changes when a file's content does; empty where there is none."""
    try:
        stat = os.stat(file)
    except OSError:
        return []
    return [stat.st_size, stat.st_mtime_ns, stat.st_ino]


def _file_digest(file: Path) -> str:
    try:
        return sha256_file(file)
    except OSError:
        return UNREAD


def tuples(found: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a dataclass, as JSON gave them back: it makes lists of tuples."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in found.items()}


def _digest(facts: object) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]

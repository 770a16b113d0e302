"""A case's scans, whether each modality has a file of its own or all share one."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from glioseg.core.modalities import MODALITIES
from glioseg.core.nifti import Volume, VolumeError, decode_volume, read_channels, read_volume
from glioseg.data.cohort.cases import Case


@dataclass(frozen=True)
class Scan:
    """One volume of a case, or why it cannot be read.

    `file`: its name, as a finding says it; `sha256`: of the file's bytes, None where it was not read or
    holds other volumes too.
    """

    file: str
    volume: Volume | None = None
    problem: str | None = None
    sha256: str | None = None


def open_scans(case: Case, roles: Iterable[str]) -> dict[str, Scan]:
    """Read those files of a case that it has among the roles; what is wrong with one is kept, not raised."""
    present = [role for role in roles if role in case.files]
    stacked = _open_stacked(case)
    return {role: stacked.get(role) or _open(case.files[role]) for role in present}


def _open(path: Path) -> Scan:
    try:
        return decode_scan(path.read_bytes(), file=path.name)
    except OSError as error:
        return Scan(path.name, problem=f"not readable: {error.strerror}")


def decode_scan(content: bytes, *, file: str, most_voxels: int | None = None) -> Scan:
    """Read a volume from the bytes of a file.

    Args:
        content: the bytes of a .nii or .nii.gz file.
        file: its name, or nothing.
        most_voxels: as for `volumes.decode_volume`.
    """
    digest = hashlib.sha256(content).hexdigest()
    try:
        return Scan(file, decode_volume(content, name=file, most_voxels=most_voxels), sha256=digest)
    except VolumeError as error:
        return Scan(file, problem=_why(error, file), sha256=digest)


def _open_stacked(case: Case) -> dict[str, Scan]:
    try:
        return {role: Scan(case.files[role].name, volume) for role, volume in read_stacked(case).items()}
    except VolumeError as error:
        files = {role: case.files[role] for role in case.channels}
        return {role: Scan(file.name, problem=_why(error, str(file))) for role, file in files.items()}


def _why(error: VolumeError, name: str) -> str:
    return " ".join(str(error).removeprefix(f"{name}: ").split())


def read_images(case: Case) -> dict[str, Volume]:
    """The volume of each modality that the case has, in the order of `MODALITIES`.

    Raises:
        VolumeError: as `read_volume` and `read_channels`.
    """
    single = [name for name in MODALITIES if name in case.files and name not in case.channels]
    known = read_stacked(case) | {name: read_volume(case.files[name]) for name in single}
    return {name: known[name] for name in MODALITIES if name in known}


def read_stacked(case: Case) -> dict[str, Volume]:
    """The volumes of those modalities that share a 4D file."""
    if not case.channels:
        return {}
    (file,) = {case.files[name] for name in case.channels}
    return read_channels(file, case.channels)

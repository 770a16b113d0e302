"""A case's scans, whether each modality has a file of its own or all share one."""

from glioseg.data.cases import Case
from glioseg.data.layouts import MODALITIES
from glioseg.data.volumes import Volume, read_channels, read_volume


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

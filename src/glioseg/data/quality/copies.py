"""Copies among images: files with the same bytes, or with the same voxels in other bytes."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from glioseg.core.modalities import SEGMENTATION
from glioseg.data.quality.volume_statistics import VolumeStatistics


def find_copies(volumes: Sequence[VolumeStatistics]) -> list[VolumeStatistics]:
    """The statistics, with `same_bytes_as` of each image that is a copy of an earlier one.

    Segmentations may be equal, e.g. without a tumour.

    Args:
        volumes: statistics of the volumes of a case or of a cohort, in its order.
    """
    first: dict[str, str] = {}
    return [replace(volume, same_bytes_as=_original(volume, first)) for volume in volumes]


def _original(volume: VolumeStatistics, first: dict[str, str]) -> str | None:
    """The first image with the hashes of this one, as `<case>/<role>`; records the hashes of a new image."""
    name, hashes = f"{volume.case}/{volume.role}", _hashes(volume)
    original = next((first[each] for each in hashes if each in first), None)
    for each in hashes:
        first.setdefault(each, original or name)
    return None if original == name else original


def _hashes(volume: VolumeStatistics) -> list[str]:
    both: Iterable[str | None] = (volume.sha256, volume.voxels_sha256)
    return [] if volume.role == SEGMENTATION else [each for each in both if each is not None]

"""Copies of images, by their hashes."""

from glioseg.core.modalities import MODALITIES
from glioseg.data.quality.copies import find_copies
from glioseg.data.quality.volume_statistics import VolumeStatistics


def volume(name: str, sha256: str | None, voxels: str | None = None) -> VolumeStatistics:
    case, role = name.split("/")
    return VolumeStatistics(case, role, f"{role}.nii", "brats2021", sha256=sha256, voxels_sha256=voxels)


def originals(*volumes: VolumeStatistics) -> list[str | None]:
    return [each.same_bytes_as for each in find_copies(volumes)]


def test_the_same_bytes_or_the_same_voxels_are_a_copy_of_the_first() -> None:
    assert originals(volume("a/t1", "x", "X"), volume("a/t2", "x"), volume("b/t1", "y", "X")) == [
        None,
        "a/t1",
        "a/t1",
    ]
    # The third has the bytes of the second, whose voxels are those of the first.
    assert originals(volume("a/t1", "x", "X"), volume("a/t2", "y", "X"), volume("b/t1", "y")) == [
        None,
        "a/t1",
        "a/t1",
    ]


def test_unread_files_and_segmentations_are_no_copies() -> None:
    assert originals(*[volume(f"a/{m}", None) for m in MODALITIES]) == [None] * 4
    assert originals(volume("a/seg", "x"), volume("b/seg", "x")) == [None, None]

"""Incomplete files, and files with a wrong header."""

import gzip
from collections.abc import Callable
from math import inf, nan
from pathlib import Path

import nibabel as nib

from tests.drills.cohort import AFFINE, IMAGES, pack, patch, read, scan, unpack, write
from tests.drills.kinds import Defect, Kind, refused, reported, works

HEADER = 352
"""Bytes before the voxels."""
DIM, DATATYPE, PIXDIM, OFFSET, SLOPE, INTERCEPT, QFORM, SFORM, QUATERNION, QOFFSET, ROWS, MAGIC = (
    40, 70, 76, 108, 112, 116, 252, 254, 256, 268, 280, 344,
)  # fmt: skip
"""Offsets of fields in the NIfTI-1 header."""

BAD_FILE = "readable: expected a whole 3D NIfTI file, got "
EMPTY_AXIS = "not a NIfTI file: expected at least 1 voxel along each axis, got shape ("
NO_FILE = "modality: expected a file for t2, got none"
SINGULAR = (
    "placed: expected an affine that can be inverted, and voxels of 0.01 to 100 mm, got an affine that cannot"
)


def file(change: Callable[[bytes], bytes]) -> Defect:
    """Change the bytes of Odd's T2."""
    return lambda home: scan(home).write_bytes(change(scan(home).read_bytes())) and None


def content(change: Callable[[bytes], bytes]) -> Defect:
    """Change the bytes in the gzip of Odd's T2."""
    return lambda home: pack(scan(home), change(unpack(scan(home))))


def header(*fields: tuple[int, str, tuple[float, ...]]) -> Defect:
    """Change fields of the header of Odd's T2: offset, layout and values of each."""

    def defect(home: Path) -> None:
        for offset, layout, values in fields:
            patch(scan(home), offset, layout, *values)

    return defect


def shape(*dim: int) -> Defect:
    return header((DIM, f"{len(dim)}h", dim))


def as_image(image: type) -> Defect:
    return lambda home: write(scan(home), read(scan(home)), AFFINE, image)


def two_members(whole: bytes) -> bytes:
    plain = gzip.decompress(whole)
    return gzip.compress(plain[:1000]) + gzip.compress(plain[1000:])


def flipped(whole: bytes) -> bytes:
    middle = len(whole) // 2
    return whole[:middle] + bytes([whole[middle] ^ 0xFF]) + whole[middle + 1 :]


def big_endian(home: Path) -> None:
    image = nib.load(scan(home))
    swapped = nib.Nifti1Image(read(scan(home)).astype(">i2"), AFFINE, image.header.as_byteswapped(">"))
    assert swapped.to_bytes()[:4] == b"\x00\x00\x01\x5c"  # 348, its highest byte first
    pack(scan(home), swapped.to_bytes())


def renamed(suffix: str, *, packed: bool) -> Defect:
    """Odd's T2 under another suffix, gzipped or not."""

    def defect(home: Path) -> None:
        plain = unpack(scan(home))
        scan(home).unlink()
        path = scan(home).with_name(f"Odd_t2{suffix}")
        pack(path, plain) if packed else path.write_bytes(plain)

    return defect


def without_orientation(home: Path) -> None:
    """The codes of all of Odd's files are 0."""
    for role in (*IMAGES, "seg"):
        patch(scan(home, role), QFORM, "2h", 0, 0)


def analyze_pair(home: Path) -> None:
    image = nib.Nifti1Pair(read(scan(home)), AFFINE)
    scan(home).unlink()
    nib.save(image, scan(home).with_name("Odd_t2.img"))


FILES: tuple[Kind, ...] = (
    refused("truncated gzip", file(lambda whole: whole[: len(whole) // 2]), BAD_FILE),
    refused("truncated NIfTI", content(lambda whole: whole[:-100]), BAD_FILE),
    refused("cut within the header", content(lambda whole: whole[:100]), BAD_FILE),
    refused("header without voxels", content(lambda whole: whole[:HEADER]), BAD_FILE),
    refused("empty file", file(lambda whole: b""), BAD_FILE),
    refused("gzip of nothing", file(lambda whole: gzip.compress(b"")), BAD_FILE),
    refused("no gzip", file(lambda whole: b"no volume at all" * 100), BAD_FILE),
    refused("gzip of garbage", file(lambda whole: gzip.compress(b"no volume at all" * 100)), BAD_FILE),
    refused("one flipped byte", file(flipped), BAD_FILE),
    refused("garbage after the gzip", file(lambda whole: whole + b"garbage"), BAD_FILE),
    works("gzip of two members", file(two_members)),
    refused("header larger than the file", shape(3, 24, 20, 17), BAD_FILE),
    refused(
        "header smaller than the file",
        shape(3, 24, 20, 15),
        BAD_FILE + "not a complete NIfTI file: expected",
    ),
    refused("negative size", shape(3, -24, 20, 16), BAD_FILE + EMPTY_AXIS),
    refused(
        "size of 54 TB", shape(3, 30000, 30000, 30000), BAD_FILE + "not a complete NIfTI file: expected 54"
    ),
    refused("size of 0", shape(3, 0, 20, 16), BAD_FILE + EMPTY_AXIS),
    refused("nine axes", shape(9, 24, 20, 16), BAD_FILE),
    refused("two axes", shape(2, 24, 20), BAD_FILE),
    refused("four axes", shape(4, 12, 20, 16, 2), BAD_FILE + "expected 3 axes, got shape (12, 20, 16, 2)"),
    works("four axes, the last of 1", shape(4, 24, 20, 16, 1)),
    refused("unknown datatype", header((DATATYPE, "h", (999,))), BAD_FILE),
    refused("voxels beyond the end", header((OFFSET, "f", (1e6,))), BAD_FILE),
    refused("voxels at NaN", header((OFFSET, "f", (nan,))), BAD_FILE),
    refused("wrong magic", header((MAGIC, "3b", (0, 0, 0))), BAD_FILE),
    refused("zero spacing", header((PIXDIM, "4f", (1, 0, 0, 0)), (SFORM, "h", (0,))), BAD_FILE),
    refused("NaN spacing", header((PIXDIM, "4f", (1, nan, 1, 1)), (SFORM, "h", (0,))), SINGULAR),
    refused("singular affine", header((ROWS, "4f", (0, 0, 0, 0))), SINGULAR),
    refused("NaN affine", header((ROWS, "4f", (nan, 0, 0, 0))), SINGULAR),
    refused("no rotation", header((QFORM, "2h", (1, 0)), (QUATERNION, "3f", (5, 5, 5))), BAD_FILE),
    works("slope of 0", header((SLOPE, "f", (0,)))),
    works("slope of NaN", header((SLOPE, "f", (nan,)))),
    works("slope of infinity", header((SLOPE, "f", (inf,)))),
    works("intercept of -100", header((SLOPE, "2f", (1, -100)))),
    refused("intercept of infinity", header((SLOPE, "2f", (1, inf))), BAD_FILE),
    reported(
        "qform and sform that differ",
        header((QFORM, "h", (1,)), (QOFFSET, "3f", (36.5, 0, 0))),
        "qform sform: expected a qform and an sform that place each voxel within 0.5 mm, got 36.5 mm",
        stage="validate",
    ),
    reported(
        "codes of 0",
        without_orientation,
        "known orientation: expected a header that states the orientation, got qform and sform codes of 0",
        stage="validate",
    ),
    works("NIfTI-2", as_image(nib.Nifti2Image)),
    works("big-endian", big_endian),
    works(".nii", renamed(".nii", packed=False)),
    works("plain file named .nii.gz", renamed(".nii.gz", packed=False)),
    works("gzip named .nii", renamed(".nii", packed=True)),
    works("suffix in capitals", renamed(".NII.GZ", packed=True)),
    refused("Analyze pair", analyze_pair, NO_FILE),
)

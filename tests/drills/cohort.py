"""A user's folder of three good cases and a fourth, Odd, that receives the defect."""

import gzip
import struct
from pathlib import Path

import nibabel as nib
import numpy as np

GOOD = ("Ada", "Bo", "Cy")
ODD = "Odd"
IMAGES = ("t1", "t1ce", "t2", "flair")
SHAPE = (24, 20, 16)
AFFINE = np.diag([-1.0, -1.0, 1.0, 1.0])


def write_scans(folder: Path) -> None:
    """Write the three good cases and Odd, which is good too until it receives a defect."""
    for seed, case in enumerate((*GOOD, ODD)):
        write_case(folder, case, seed=seed)


def write_case(folder: Path, case: str, *, seed: int, et: int = 4) -> None:
    """A block of brain (a fifth of the grid) with a tumour of three tissues in it."""
    rng = np.random.default_rng(seed)
    images = np.zeros((len(IMAGES), *SHAPE), np.int16)
    images[:, 5:19, 4:16, 3:13] = rng.integers(100, 900, (len(IMAGES), 14, 12, 10))
    labels = np.zeros(SHAPE, np.uint8)
    labels[8:14, 6:12, 5:10], labels[9:13, 7:11, 6:9], labels[10:12, 8:10, 7:8] = 2, et, 1
    images[IMAGES.index("t1ce")][labels == et] += 500  # as in real scans, or the labels contradict the images
    images[IMAGES.index("flair")][labels > 0] += 500
    for role, data in {**dict(zip(IMAGES, images, strict=True)), "seg": labels}.items():
        write(scan(folder, role, case), data)


def scan(folder: Path, role: str = "t2", case: str = ODD) -> Path:
    """The path of a file of a case."""
    return folder / case / f"{case}_{role}.nii.gz"


def write(path: Path, data: np.ndarray, affine: np.ndarray = AFFINE, image: type = nib.Nifti1Image) -> None:
    """Write an array of any dtype as NIfTI."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pack(path, image(data, affine, dtype=data.dtype).to_bytes())


def read(path: Path) -> np.ndarray:
    """The voxels as read by nibabel."""
    return np.asanyarray(nib.load(path).dataobj)


def pack(path: Path, content: bytes) -> None:
    """Write gzipped bytes."""
    path.write_bytes(gzip.compress(content, compresslevel=1, mtime=0))


def unpack(path: Path) -> bytes:
    """Read gzipped bytes."""
    return gzip.decompress(path.read_bytes())


def patch(path: Path, offset: int, layout: str, *values: float) -> None:
    """Overwrite bytes of the NIfTI header at an offset from the standard."""
    content = bytearray(unpack(path))
    struct.pack_into("<" + layout, content, offset, *values)
    pack(path, bytes(content))

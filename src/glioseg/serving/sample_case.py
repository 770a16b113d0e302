"""One built-in case, for who has no scan at hand."""

from functools import cache
from threading import Lock

from glioseg.core.modalities import SEGMENTATION
from glioseg.core.nifti import Grid, Volume, encode_volume
from glioseg.data.phantom import make_case

INDEX, SEED = 0, 2026
"""Of another cohort than any that a preset trains on."""
_LOCK = Lock()


def sample_file(role: str) -> bytes:
    """A .nii.gz file of the sample case, which is rendered when it is first asked for.

    Args:
        role: one of `layouts.ROLES`.
    """
    with _LOCK:
        return _files()[role]


@cache
def _files() -> dict[str, bytes]:
    case = make_case(index=INDEX, seed=SEED)
    grid = Grid(case.segmentation.shape, case.affine)
    volumes = case.images | {SEGMENTATION: case.segmentation}
    return {role: encode_volume(Volume(data, grid)) for role, data in volumes.items()}

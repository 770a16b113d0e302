"""The second data path: a case that is cropped from its raw scans each time it is opened.

The store then holds no voxels, only where each crop lies. Both paths give the same voxels.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float16, Num, UInt8
from numpy.typing import NDArray

from glioseg.core.labels import as_labels, from_scheme
from glioseg.core.modalities import MODALITIES, SEGMENTATION
from glioseg.core.nifti import read_volume
from glioseg.data.cohort.cases import Case
from glioseg.data.store.cropping import PLACEMENT, CropError, Placement, normalised
from glioseg.data.store.grids import check_grid
from glioseg.data.store.resolution import coarse_image, coarse_labels


@dataclass(frozen=True)
class RawCase:
    """One raw case and its folder in the store, which says where its crop lies.

    It keeps no voxels: what `open` gives lives as long as its caller holds it.
    """

    case: Case
    folder: Path

    @property
    def name(self) -> str:
        """The case's name."""
        return self.case.case

    @property
    def grade(self) -> str | None:
        """HGG or LGG, where known."""
        return self.case.grade

    @property
    def survival_days(self) -> float | None:
        """Overall survival, where known."""
        return self.case.survival_days

    @property
    def files(self) -> list[Path]:
        """The five scans, and where the crop lies."""
        return [*self.case.files.values(), self.folder / PLACEMENT]

    @property
    def placement(self) -> Placement:
        """Where the crop lies in the scan."""
        return Placement.load(self.folder)

    def open(self, spacing_mm: int) -> tuple[Float16[NDArray, "d h w 4"], UInt8[NDArray, "d h w"]]:
        """Read the five scans; crop, normalise and coarsen them as the store's are.

        Args:
            spacing_mm: resolution, as in the store.

        Returns:
            The image and its dense labels.

        Raises:
            CropError, VolumeError: a file that is missing or unreadable.
            GridError: a file that lies on another grid than the crop.
        """
        placement = self.placement
        image = normalised({name: self._crop(name, placement) for name in MODALITIES})
        label = as_labels(self._crop(SEGMENTATION, placement))
        return coarse_image(image, spacing_mm), coarse_labels(
            from_scheme(label, self.case.scheme), spacing_mm
        )

    def _crop(self, role: str, placement: Placement) -> Num[NDArray, "d h w"]:
        """Only the crop outlives this, so that the five whole scans never lie in memory together."""
        if role not in self.case.files:
            raise CropError(f"{self.name}/{role}: expected a raw scan to crop, got none")
        volume, tolerance = read_volume(self.case.files[role]), placement.affine_tolerance
        check_grid(f"{self.name}/{role}", volume.grid, placement.grid, tolerance=tolerance)
        return np.array(placement.grid.to_lps.apply(volume.data)[placement.box.slices], order="C")

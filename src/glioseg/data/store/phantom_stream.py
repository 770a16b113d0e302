"""Synthetic cases that are rendered when training reads them, and are never stored."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

from jaxtyping import Float16, UInt8
from numpy.typing import NDArray

from glioseg.core.brain import brain_mask
from glioseg.core.float16 import float16_to_float32, float32_to_float16
from glioseg.core.geometry import bounding_box
from glioseg.core.labels import LabelScheme, from_scheme
from glioseg.data.phantom import PLAN_SAMPLERS, RenderedPhantom, case_name, render_case
from glioseg.data.phantom.grid import PhantomGrid
from glioseg.data.store.cropping import downsample_image, downsample_labels, normalise_images
from glioseg.params.sections import PhantomPreset


@dataclass(frozen=True)
class SyntheticCase:
    """A synthetic `CroppedCase`: each `open` renders it, with the same result."""

    index: int
    seed: int
    preset: PhantomPreset
    grade: str | None = None
    survival_days: float | None = None

    @property
    def name(self) -> str:
        """Name of the case."""
        return f"{self.preset}_{self.seed}_{case_name(self.index)}"

    @property
    def files(self) -> list[Path]:
        """Empty: the case is not stored."""
        return []

    def render(self, grid: PhantomGrid) -> RenderedPhantom:
        """The case, rendered on this grid."""
        return render_case(
            index=self.index, seed=self.seed, sample_plan=PLAN_SAMPLERS[self.preset], grid=grid
        )[1]

    def open(self, spacing_mm: int) -> tuple[Float16[NDArray, "d h w 4"], UInt8[NDArray, "d h w"]]:
        """The normalised image and its dense labels, cropped to the brain and rendered at 1 or 2 mm."""
        phantom = self.render(PhantomGrid(spacing_mm))
        brain = brain_mask(phantom.images.values())
        box = bounding_box(brain).slices
        image = normalise_images({name: image[box] for name, image in phantom.images.items()})
        return float32_to_float16(image), from_scheme(phantom.labels[box], LabelScheme.BRATS2021)


@dataclass(frozen=True)
class CachedSyntheticCase:
    """A synthetic case that is rendered once and stays in memory, for cases that are read repeatedly.

    A case rendered at 1 mm is downsampled if it is read at another resolution, as for the store.
    """

    name: str
    spacing_mm: int
    image: Float16[NDArray, "d h w 4"]
    label: UInt8[NDArray, "d h w"]
    grade: str | None = None
    survival_days: float | None = None

    @classmethod
    def render(cls, case: SyntheticCase, spacing_mm: int) -> "CachedSyntheticCase":
        """Render a case at one resolution."""
        return cls(case.name, spacing_mm, *case.open(spacing_mm))

    @property
    def files(self) -> list[Path]:
        """Empty: the case is in memory only."""
        return []

    def open(self, spacing_mm: int) -> tuple[Float16[NDArray, "d h w 4"], UInt8[NDArray, "d h w"]]:
        """Image and labels, at the rendered resolution; a case rendered at 1 mm is downsampled to others.

        Raises:
            ValueError: the resolution differs from the rendered one, which is not 1 mm.
        """
        if spacing_mm == self.spacing_mm:
            return self.image, self.label
        if self.spacing_mm != 1:
            raise ValueError(f"{self.name}: expected to be read at {self.spacing_mm} mm, got {spacing_mm}")
        return downsample_image(float16_to_float32(self.image), spacing_mm), downsample_labels(
            self.label, spacing_mm
        )


@dataclass(frozen=True)
class PhantomStream(Sequence[SyntheticCase]):
    """A sequence of synthetic cases; none is rendered before it is read."""

    cases: int
    seed: int
    preset: PhantomPreset

    def __len__(self) -> int:
        return self.cases

    @overload
    def __getitem__(self, index: int) -> SyntheticCase: ...

    @overload
    def __getitem__(self, index: slice) -> "list[SyntheticCase]": ...

    def __getitem__(self, index: int | slice) -> "SyntheticCase | list[SyntheticCase]":
        indices = range(self.cases)[index]
        if isinstance(indices, range):
            return [SyntheticCase(number, self.seed, self.preset) for number in indices]
        return SyntheticCase(indices, self.seed, self.preset)

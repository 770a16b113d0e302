"""Phantoms that are drawn while training reads them, and never stored."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import numpy as np
from jaxtyping import Float16, UInt8
from numpy.typing import NDArray

from glioseg.core.float16 import narrow, widen
from glioseg.core.geometry import bounding_box
from glioseg.core.labels import Scheme, from_scheme
from glioseg.data.phantom import PLANS, Drawn, draw_case, name_of
from glioseg.data.phantom.grid import Canvas
from glioseg.data.store.cropping import normalised
from glioseg.data.store.resolution import coarse_image, coarse_labels
from glioseg.params.sections import PhantomPreset


@dataclass(frozen=True)
class DrawnCase:
    """A phantom as training reads a cropped case: opening it draws it, the same each time."""

    index: int
    seed: int
    preset: PhantomPreset
    grade: str | None = None
    survival_days: float | None = None

    @property
    def name(self) -> str:
        """The case's name."""
        return f"{self.preset}_{self.seed}_{name_of(self.index)}"

    @property
    def files(self) -> list[Path]:
        """None: it lies in no file."""
        return []

    def draw(self, canvas: Canvas) -> Drawn:
        """Draw the patient."""
        return draw_case(index=self.index, seed=self.seed, plans=PLANS[self.preset], canvas=canvas)[1]

    def open(self, spacing_mm: int) -> tuple[Float16[NDArray, "d h w 4"], UInt8[NDArray, "d h w"]]:
        """The normalised image and its dense labels, cropped to the brain, at 1 or 2 mm."""
        drawn = self.draw(Canvas(spacing_mm))
        brain = np.logical_or.reduce([image != 0 for image in drawn.images.values()])
        box = bounding_box(brain).slices
        image = normalised({name: image[box] for name, image in drawn.images.items()})
        return narrow(image), from_scheme(drawn.labels[box], Scheme.BRATS2021)


@dataclass(frozen=True)
class HeldCase:
    """A case that was drawn once and stays in memory, for what is read again and again.

    Drawn at 1 mm, it is coarsened where it is read at another resolution, as stored cases are.
    """

    name: str
    spacing_mm: int
    image: Float16[NDArray, "d h w 4"]
    label: UInt8[NDArray, "d h w"]
    grade: str | None = None
    survival_days: float | None = None

    @classmethod
    def draw(cls, case: DrawnCase, spacing_mm: int) -> "HeldCase":
        """Draw a case at one resolution."""
        return cls(case.name, spacing_mm, *case.open(spacing_mm))

    @property
    def files(self) -> list[Path]:
        """None: it lies in memory alone."""
        return []

    def open(self, spacing_mm: int) -> tuple[Float16[NDArray, "d h w 4"], UInt8[NDArray, "d h w"]]:
        """Image and labels, at the resolution that they were drawn at or coarser than 1 mm.

        Raises:
            ValueError: another resolution.
        """
        if spacing_mm == self.spacing_mm:
            return self.image, self.label
        if self.spacing_mm != 1:
            raise ValueError(f"{self.name}: expected to be read at {self.spacing_mm} mm, got {spacing_mm}")
        return coarse_image(widen(self.image), spacing_mm), coarse_labels(self.label, spacing_mm)


@dataclass(frozen=True)
class Stream(Sequence[DrawnCase]):
    """As many phantoms as are asked for, of which none exists before it is read."""

    cases: int
    seed: int
    preset: PhantomPreset

    def __len__(self) -> int:
        return self.cases

    @overload
    def __getitem__(self, index: int) -> DrawnCase: ...

    @overload
    def __getitem__(self, index: slice) -> "list[DrawnCase]": ...

    def __getitem__(self, index: int | slice) -> "DrawnCase | list[DrawnCase]":
        numbers = range(self.cases)[index]
        if isinstance(numbers, range):
            return [DrawnCase(number, self.seed, self.preset) for number in numbers]
        return DrawnCase(numbers, self.seed, self.preset)

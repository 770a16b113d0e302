"""Small stored cases that a network learns in seconds, and settings to match."""

from pathlib import Path

import numpy as np
import pytest

from glioseg.data.crop import Placement
from glioseg.data.store import StoredCase, write_case
from glioseg.data.volumes import Grid
from glioseg.geometry import Box
from glioseg.labels import Label
from glioseg.params import Network

SHAPE = (13, 16, 11)


def write_toy(folder: Path, number: int) -> StoredCase:
    """A case whose tumour is as bright as its label, somewhere in the middle of noise."""
    rng = np.random.default_rng(number)
    label = np.zeros(SHAPE, np.uint8)
    d, h, w = (int(rng.integers(4, n - 4)) for n in SHAPE)
    label[d - 3 : d + 3, h - 3 : h + 3, w - 3 : w + 3] = Label.ED
    label[d - 2 : d + 2, h - 2 : h + 2, w - 2 : w + 2] = Label.NCR
    label[d - 1 : d + 1, h - 1 : h + 1, w - 1 : w + 1] = Label.ET
    image = rng.normal(0, 0.1, (*SHAPE, 4)).astype(np.float32) + label[..., np.newaxis]
    placement = Placement(Grid(SHAPE, np.eye(4)), Box((0, 0, 0), SHAPE))
    return write_case(folder / f"toy{number}", image, label, placement, spacings_mm=(1,))


@pytest.fixture(scope="session")
def toys(tmp_path_factory: pytest.TempPathFactory) -> list[StoredCase]:
    folder = tmp_path_factory.mktemp("toys")
    return [write_toy(folder, number) for number in range(5)]


@pytest.fixture(scope="session")
def tiny_network() -> Network:
    return Network(spacing_mm=1, base_filters=2, depth=2, dropout=0.2)

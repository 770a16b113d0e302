import numpy as np
import pytest

from glioseg.data.answers import RegionVolume
from glioseg.nets.uncertainty import choose_level, entropy_bits, region_volumes


@pytest.mark.parametrize(
    ("regions", "bits"),
    [
        ((0.75, 0.5, 0.25), 2.0),  # four labels, a quarter each
        ((0.0, 0.0, 0.0), 0.0),
        ((1.0, 1.0, 1.0), 0.0),
        ((1.0, 0.5, 0.0), 1.0),  # oedema or core
        ((0.5, 0.5, 0.5), 1.0),  # background or enhancing
        ((0.5, 1.0, 1.0), 1.0),  # cut to nested: the same
        ((0.5, 0.25, 0.0), 1.5),  # ½, ¼, ¼
    ],
)
def test_entropy_by_hand(regions, bits):
    assert entropy_bits(np.array(regions, np.float32)).item() == pytest.approx(bits, abs=1e-6)


def test_volumes_and_their_intervals_by_hand():
    p = np.zeros((5, 3), np.float32)
    p[:, 0] = [0.99, 0.95, 0.6, 0.3, 0.05]
    p[:, 1] = [0.95, 0.4, 0.2, 0.0, 0.0]
    labels = np.array([[[1, 2, 2, 0, 0]]], np.uint8)
    volumes = region_volumes(labels, p, level=(0.1, 0.5, 0.1), voxel_ml=2.0)
    # WT: 3 voxels; {p ≥ 0.9} are 2, {p ≥ 0.1} are 4. TC at level ½: 1 on both sides. ET: none.
    assert volumes == {
        "WT": RegionVolume(6.0, 4.0, 8.0),
        "TC": RegionVolume(2.0, 2.0, 2.0),
        "ET": RegionVolume(0.0, 0.0, 0.0),
    }


def test_the_interval_holds_the_volume_after_post_processing_too():
    p = np.full((2, 3), 0.95, np.float32)
    dropped, added = np.array([[[1, 1]]], np.uint8), np.array([[[3, 3]]], np.uint8)
    assert region_volumes(dropped, p, level=(0.1,) * 3, voxel_ml=1.0)["ET"] == RegionVolume(0.0, 0.0, 2.0)
    nowhere = np.zeros_like(p)
    assert region_volumes(added, nowhere, level=(0.1,) * 3, voxel_ml=1.0)["ET"] == RegionVolume(2.0, 0.0, 2.0)


def test_the_narrowest_interval_that_holds_often_enough_is_chosen():
    # Twenty cases of 10 ml: ⌈0.9 · 21⌉ = 19 have to be held.
    truth = [10.0] * 20

    def held(count):
        return [(9.0, 11.0)] * count + [(0.0, 1.0)] * (20 - count)

    intervals = [(0.5, held(5)), (0.3, held(18)), (0.2, held(19)), (0.1, held(20))]
    assert choose_level(truth, intervals) == 0.2


def test_of_few_cases_all_are_held():
    # Five cases: ⌈0.9 · 6⌉ = 6, so all five.
    four, five = [(0.0, 2.0)] * 4 + [(0.0, 0.5)], [(0.0, 2.0)] * 5
    assert choose_level([1.0] * 5, [(0.5, four), (0.1, five)]) == 0.1


def test_the_widest_where_none_holds():
    assert choose_level([1.0], [(0.5, [(2.0, 3.0)]), (0.1, [(2.0, 4.0)])]) == 0.1

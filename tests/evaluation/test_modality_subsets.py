from types import SimpleNamespace

import numpy as np
import pytest

from glioseg.compute import Cluster
from glioseg.core.modalities import MODALITIES
from glioseg.core.nifti import Grid, Volume, read_volume, write_volume
from glioseg.evaluation.modality_subsets import SUBSETS, subset_dice
from glioseg.evaluation.per_case import evaluate_cases
from glioseg.models.inference.predictor import Predictor
from tests.helpers.models import Formula, everywhere, make_settings


@pytest.fixture
def picky(scan, model_of):
    """A model that needs T1ce, segments too much without FLAIR, and is perfect with both."""

    def predict(images):
        labels = scan.labels["truth"] if "flair" in images else scan.labels["prediction"]
        return model_of(labels if "t1ce" in images else labels * np.uint8(0)).predict(images)

    return SimpleNamespace(predict=predict)


def test_there_are_15_subsets_the_smallest_first():
    assert len(set(SUBSETS)) == 2**4 - 1
    assert [len(subset) for subset in SUBSETS] == [1] * 4 + [2] * 6 + [3] * 4 + [4]
    assert SUBSETS[-1] == MODALITIES


def test_each_subset_is_predicted_and_scored(write_case, picky):
    rows = subset_dice(picky, [write_case("a"), write_case("b")])
    assert [tuple(row["modalities"]) for row in rows] == list(SUBSETS)
    for row in rows:
        perfect, blind = {"flair", "t1ce"} <= set(row["modalities"]), "t1ce" not in row["modalities"]
        assert list(row["dice"]) == ["WT", "TC", "ET", "mean"]
        for dice in row["dice"].values():
            assert dice == 1 if perfect else (dice == 0 if blind else 0 < dice < 1)


def test_the_full_set_gives_the_main_result(write_case, scan, model_of):
    cases = [write_case("a"), write_case("empty", labels=scan.labels["truth"] * np.uint8(0))]
    table, _ = evaluate_cases(model_of(scan.labels["prediction"]), cases, cluster=Cluster("threads"))
    full = subset_dice(model_of(scan.labels["prediction"]), cases)[-1]["dice"]
    assert full["mean"] == pytest.approx(table["mean_dice"].mean())
    for region in ("WT", "TC", "ET"):
        assert full[region] == pytest.approx(table[f"dice_{region.lower()}"].mean())


def test_a_subset_is_accepted_where_the_whole_case_is(write_case):
    case = write_case("a")
    for role, shift_mm in {"t2": 0.0009, "flair": -0.0009}.items():  # both near T1, but not near each other
        volume = read_volume(case.files[role])
        affine = volume.grid.affine.copy()
        affine[0, 3] = shift_mm
        write_volume(case.files[role], Volume(volume.data.copy(), Grid(volume.grid.shape, affine)))
    assert len(subset_dice(Predictor((Formula(everywhere),), make_settings()), [case])) == 15


def test_progress_shows_the_task(write_case, picky, capsys):
    subset_dice(picky, [write_case("a")])
    assert "modality subsets: 15/15" in capsys.readouterr().err

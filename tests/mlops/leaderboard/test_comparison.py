"""The data for the page's script: metrics of every case, and pictures within a size limit."""

import json
from dataclasses import replace

import pytest
from PIL import Image

from glioseg.mlops.leaderboard.comparison import comparable_models, comparison_data, fill_gallery, label
from tests.helpers import trainings


def test_the_script_gets_every_metric_of_every_case(project, sets):
    compared = comparable_models(sets)
    assert compared == [sets[1]]
    content = comparison_data(compared, fill_gallery(sets[1], budget_bytes=10**9))
    (test_set,) = content["sets"]
    assert test_set["cases"] == list(trainings.A)
    newest, champion = test_set["models"]
    assert newest["values"]["dice"] == [list(dice) for dice in trainings.B.values()]
    assert champion["values"]["hd95_area_mm"][0] == pytest.approx([1, 2, 3])
    assert champion["params"] == {
        "network.depth": "3", "network.base_filters": "8", "train.learning_rate": str(0.01 / 3),
    }  # fmt: skip
    assert content["pair"] == [champion["id"], newest["id"]]
    assert champion["label"].startswith("glioseg 1 @champion, 20")
    assert label(sets[0][0]).endswith(", demo c07e, 8×4, 2 mm, 4 epochs, seed 1")
    json.dumps(content, allow_nan=False)


def test_a_missing_column_becomes_none(sets):
    first, other = sets[1]
    incomplete = replace(first, table=first.table.drop(columns="lesion_dice_wt"))
    content = comparison_data([[incomplete, other]], fill_gallery([], budget_bytes=0))
    assert [values[0] for values in content["sets"][0]["models"][0]["values"]["lesion_dice"]] == [None] * 3


def with_pictures(model, tmp_path, colours):
    """The model with a picture of a single colour for each case."""
    paths = {case: tmp_path / f"{model.run_id}-{case}.png" for case in trainings.A}
    for path, colour in zip(paths.values(), colours, strict=True):
        Image.new("RGB", (64, 64), colour).save(path)
    return replace(model, pictures=paths)


@pytest.fixture
def models(sets, tmp_path):
    """Two models that differ only in the third picture."""
    newest, older = sets[1]
    return [
        with_pictures(newest, tmp_path, ["red", "green", "blue"]),
        with_pictures(older, tmp_path, ["red", "green", "white"]),
    ]


def test_equal_pictures_are_embedded_once(models):
    gallery = fill_gallery(models, budget_bytes=10**6)
    assert len(gallery.images) == 4
    assert len(gallery.hashes) == 6
    assert gallery.left_out == 0
    newest, older = (model.run_id for model in models)
    assert gallery.hashes[newest, "case 1"] == gallery.hashes[older, "case 1"]
    assert gallery.hashes[newest, "case 3"] != gallery.hashes[older, "case 3"]
    assert all(image.startswith("data:image/webp;base64,") for image in gallery.images.values())


def test_a_small_budget_is_spent_on_the_cases_with_the_largest_difference(models):
    """Mean Dice differs by 0.067, 0.1 and 0.1; the two pictures of case 2 are equal."""
    one = len(next(iter(fill_gallery(models, budget_bytes=10**6).images.values())))
    assert {case for _, case in fill_gallery(models, budget_bytes=int(one * 3.5)).hashes} == {
        "case 2",
        "case 3",
    }
    assert fill_gallery(models, budget_bytes=int(one * 3.5)).left_out == 2
    assert fill_gallery(models, budget_bytes=0).left_out == 6


def test_pictures_of_the_five_newest_models_come_before_those_of_older_ones(models, tmp_path):
    by_age = [
        with_pictures(replace(models[0], run_id=f"run {age}"), tmp_path, [(age, 0, 40 * k) for k in range(3)])
        for age in range(6)
    ]
    complete = fill_gallery(by_age, budget_bytes=10**6)
    limited = fill_gallery(by_age, budget_bytes=sum(map(len, complete.images.values())) - 1)
    assert complete.hashes.keys() - limited.hashes.keys() == {("run 5", "case 3")}
    assert limited.left_out == 1

"""The page over all runs: a project with models of two test sets, and with much that is gone."""

import json
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image
from typer.testing import CliRunner

from glioseg import cli
from glioseg.mlops.leaderboard.comparison import comparable, comparison, label
from glioseg.mlops.leaderboard.evaluations import find_evaluations
from glioseg.mlops.leaderboard.pictures import fill_gallery
from glioseg.mlops.leaderboard.rows import leaderboard
from glioseg.mlops.leaderboard.studies import find_studies
from glioseg.mlops.tracking.mlflow_runs import connect, experiment_id
from glioseg.mlops.tracking.storage import Lab
from tests.helpers import studies, trainings

ROOT = Path(__file__).parents[3]
DATA = "0123456789abcdef0123456789abcdef.dir"
OTHER_CASES = {"case 9": (0.5, 0.5, 0.5)}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Two models on three cases, the first evaluated twice and champion; the second on another case too."""
    root = tmp_path_factory.mktemp("a project")
    lock = {"stages": {"crop": {"outs": [{"path": "data/cropped", "md5": DATA}]}}}
    (root / "dvc.lock").write_text(json.dumps(lock))
    shutil.copy(ROOT / "params.yaml", root)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.delenv("DVC_ROOT", raising=False)
        patch.delenv("DVC_EXP_NAME", raising=False)
        client = connect(Lab(root))
        one, other = (trainings.train(Lab(root), root / "files", depth=depth) for depth in (3, 4))
        trainings.evaluate(one, root / "first", trainings.A, depth=3)
        trainings.evaluate(one, root / "again", trainings.A, depth=3)
        trainings.evaluate(other, root / "B", trainings.B, depth=4)
        trainings.evaluate(other, root / "C", OTHER_CASES, depth=4, test_data="2" * 64)
        client.create_registered_model("glioseg")
        client.create_model_version("glioseg", f"models:/{one.model_id}", model_id=one.model_id)
        client.set_registered_model_alias("glioseg", "champion", "1")
        study, parent = studies.run(Lab(root))
    return SimpleNamespace(root=root, client=client, one=one, other=other, study=study, parent=parent)


@pytest.fixture
def here(project, monkeypatch):
    """The project as it is, and this process in it."""
    monkeypatch.chdir(project.root)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    connect(Lab(project.root))
    return project


@pytest.fixture
def sets(here):
    """The project's evaluations by test set: the newest first."""
    return find_evaluations(here.client).test_sets


def cells(row):
    return [cell.text for cell in row.cells]


def test_models_of_the_same_test_cases_stand_together_and_others_apart(here, sets):
    assert [[model.model for model in models] for models in sets] == [
        [here.other.model_id],
        [here.other.model_id, here.one.model_id],
    ]


def test_the_leaderboard_holds_means_over_the_cases_the_best_first(sets):
    best, second = leaderboard(sets[1])
    assert cells(best) == ["0.778", "0.800", "0.800", "0.733", "0.400", "0.400", "0.367", "2.0", "2.0", "2.7"]
    assert cells(second) == [
        "0.733",
        "0.800",
        "0.733",
        "0.667",
        "0.400",
        "0.367",
        "0.333",
        "2.0",
        "2.7",
        "3.3",
    ]
    assert all(cell.best for cell in best.cells)
    assert [cell.best for cell in second.cells] == [
        text in ("0.800", "0.400", "2.0") for text in cells(second)
    ]


def test_the_leaderboard_says_where_a_model_comes_from(here, sets):
    best, second = ([fact.text for fact in row.facts] for row in leaderboard(sets[1]))
    assert second[:4] == ["glioseg 1 @champion", "demo", here.one.run_id[:8], DATA[:8]]
    assert best[0] == "no"


def test_a_number_that_was_not_logged_is_left_open_and_comes_last(sets):
    first, *others = sets[1]
    rows = leaderboard([replace(first, metrics={}), *others])
    assert [row.cells[0].value for row in rows] == [pytest.approx(0.7333, abs=1e-4), None]
    assert cells(rows[1]) == ["–"] * 10


def test_of_a_model_that_was_evaluated_twice_the_newest_is_shown_and_others_are_counted(here):
    client, experiment = here.client, experiment_id(here.client, "evaluate")
    unfinished = client.create_run(experiment).info.run_id
    deleted = client.create_run(experiment).info.run_id
    client.delete_run(deleted)
    found = find_evaluations(client)
    client.delete_run(unfinished)
    assert len(found.shown) == 3
    assert found.others == {"older ones of the same models": 1, "unfinished ones": 1, "deleted ones": 1}


def test_what_became_of_a_training_is_told(here, sets):
    model = sets[1][1]
    assert model.training == ""
    here.client.delete_run(here.one.run_id)
    try:
        assert find_evaluations(here.client).test_sets[1][1].training == "deleted"
    finally:
        here.client.restore_run(here.one.run_id)
    assert (
        leaderboard([replace(model, training="deleted")])[0].facts[2].text == f"{here.one.run_id[:8]} deleted"
    )


@pytest.mark.parametrize("content", [None, b"", b"case,dice_wt\na,1\n", b"\xff\xfe\x00"])
def test_files_that_are_gone_or_broken_are_told_and_never_compared(here, sets, content):
    artifacts = Path(here.client.download_artifacts(sets[1][1].run_id, ""))
    shutil.move(artifacts, f"{artifacts} aside")
    try:
        if content is not None:
            artifacts.mkdir()
            (artifacts / "per_case.csv").write_bytes(content)
        models = find_evaluations(here.client).test_sets[1]
        assert [model.missing for model in models] == [[], ["per_case.csv", "pictures"]]
        assert comparable([models]) == []
        assert cells(leaderboard(models)[1])[0] == "0.733"  # MLflow still has the numbers
        assert "no longer there: per_case.csv, pictures" in report(here)
    finally:
        shutil.rmtree(artifacts, ignore_errors=True)
        shutil.move(f"{artifacts} aside", artifacts)


def report(here):
    done = CliRunner().invoke(cli.app, ["report", "-o", "out/page.html"])
    assert done.exit_code == 0, done.output
    assert done.output.startswith("out/page.html: models 3, studies 1, ")
    return (here.root / "out" / "page.html").read_text()


def test_evaluations_of_before_are_of_the_same_test_set_if_data_and_cases_are(sets):
    """Runs that older versions of glioseg logged say neither which files nor which preset."""
    old = [replace(model, tags={"data_version": DATA}) for model in sets[1]]
    assert old[0].test_set == old[1].test_set
    assert replace(old[0], tags={"data_version": "another"}).test_set != old[0].test_set
    assert replace(old[0], table=old[0].table[:2]).test_set != old[0].test_set
    unknown = [replace(model, tags={}) for model in old]
    assert unknown[0].test_set != unknown[1].test_set
    assert leaderboard(old)[0].facts[1].text == "unknown"


def test_the_script_gets_every_number_of_every_case(here, sets):
    compared = comparable(sets)
    assert compared == [sets[1]]
    content = comparison(compared, fill_gallery(sets[1], budget_bytes=10**9))
    (only,) = content["sets"]
    assert only["cases"] == list(trainings.A)
    newest, champion = only["models"]
    assert newest["values"]["dice"] == [list(dice) for dice in trainings.B.values()]
    assert champion["values"]["hd95_mm"][0] == pytest.approx([1, 2, 3])
    assert champion["params"] == {
        "network.depth": "3", "network.base_filters": "8", "train.learning_rate": str(0.01 / 3),
    }  # fmt: skip
    assert content["pair"] == [champion["id"], newest["id"]]
    assert champion["label"].startswith("glioseg 1 @champion, 20")
    assert label(sets[0][0]).endswith(", seed 8×4, 2 mm")
    json.dumps(content, allow_nan=False)


def test_a_column_that_a_table_lacks_is_left_open(sets):
    first, other = sets[1]
    poor = replace(first, table=first.table.drop(columns="lesion_dice_wt"))
    content = comparison([[poor, other]], fill_gallery([], budget_bytes=0))
    assert [values[0] for values in content["sets"][0]["models"][0]["values"]["lesion_dice"]] == [None] * 3


def pictured(model, tmp_path, colours):
    """The model with a picture of one colour for each case."""
    paths = {case: tmp_path / f"{model.run_id}-{case}.png" for case in trainings.A}
    for path, colour in zip(paths.values(), colours, strict=True):
        Image.new("RGB", (64, 64), colour).save(path)
    return replace(model, pictures=paths)


@pytest.fixture
def models(sets, tmp_path):
    """Two models, of which only the third picture differs."""
    newest, before = sets[1]
    return [
        pictured(newest, tmp_path, ["red", "green", "blue"]),
        pictured(before, tmp_path, ["red", "green", "white"]),
    ]


def test_each_different_picture_is_embedded_once(models):
    gallery = fill_gallery(models, budget_bytes=10**6)
    assert len(gallery.images) == 4
    assert len(gallery.hashes) == 6
    assert gallery.left_out == 0
    newest, before = (model.run_id for model in models)
    assert gallery.hashes[newest, "case 1"] == gallery.hashes[before, "case 1"]
    assert gallery.hashes[newest, "case 3"] != gallery.hashes[before, "case 3"]
    assert all(image.startswith("data:image/webp;base64,") for image in gallery.images.values())


def test_where_room_is_short_the_cases_with_the_largest_difference_come_first(models):
    """Mean Dice differs by 0.067, 0.1 and 0.1; the two pictures of case 2 are one."""
    one = len(next(iter(fill_gallery(models, budget_bytes=10**6).images.values())))
    assert {case for _, case in fill_gallery(models, budget_bytes=int(one * 3.5)).hashes} == {
        "case 2",
        "case 3",
    }
    assert fill_gallery(models, budget_bytes=int(one * 3.5)).left_out == 2
    assert fill_gallery(models, budget_bytes=0).left_out == 6


def test_the_five_newest_models_get_their_pictures_before_older_ones(models, tmp_path):
    line = [
        pictured(replace(models[0], run_id=f"run {age}"), tmp_path, [(age, 0, 40 * k) for k in range(3)])
        for age in range(6)
    ]
    all_of_them = fill_gallery(line, budget_bytes=10**6)
    short = fill_gallery(line, budget_bytes=sum(map(len, all_of_them.images.values())) - 1)
    assert all_of_them.hashes.keys() - short.hashes.keys() == {("run 5", "case 3")}
    assert short.left_out == 1


def test_every_study_is_there_with_its_plots(here):
    (study,) = find_studies(here.client, Lab(here.root))
    assert study.name == studies.NAME
    assert study.trials == "3 complete, 2 pruned"
    best = here.study.best_trial
    assert study.best == f"{best.value:.3f} in trial {best.number}"
    assert study.tags["preset"] == "demo"
    titles = [figure["layout"]["title"]["text"] for figure in study.figures]
    assert len(titles) == 4
    assert {"Optimization History Plot", "Parallel Coordinate Plot", "Intermediate Values Plot"} <= set(
        titles
    )


def test_a_study_whose_run_is_gone_is_shown_as_such(here):
    here.client.delete_run(here.parent)
    try:
        assert find_studies(here.client, Lab(here.root))[0].tags == {}
        assert "Its MLflow run is no longer there" in report(here)
    finally:
        here.client.restore_run(here.parent)


def test_the_page_fetches_nothing_and_holds_each_script_once(here):
    page = report(here)
    assert not re.search(
        r"<(link|iframe)\b|<(script|img)[^>]*\ssrc=.?http|@import|url\(", page.split("<script>")[0]
    )
    assert page.count("plotly.js v") == 1
    assert "2 pictures of cases" not in page
    assert len(page) < 6_000_000


def test_a_project_without_runs_gets_one_clear_line(lab):
    lab.folder.mkdir()
    done = CliRunner().invoke(cli.app, ["report"])
    assert done.exit_code == 0
    assert done.output.startswith("reports/experiments.html: models 0, studies 0, 0.0 MB")
    page = (lab.root / "reports" / "experiments.html").read_text()
    assert "No model is evaluated and no study is there yet" in page
    assert "Leaderboard" not in page


def test_outside_a_project_nothing_is_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    done = CliRunner().invoke(cli.app, ["report"])
    assert done.exit_code == 1
    assert "mlruns: no such folder: run it in the project's own" in done.output
    assert os.listdir(tmp_path) == []

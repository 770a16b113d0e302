"""The experiments page: the rows of its leaderboard, and its HTML."""

import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from glioseg import cli
from glioseg.mlops.leaderboard.comparison import comparable_models, values
from glioseg.mlops.leaderboard.evaluations import find_evaluations
from glioseg.mlops.leaderboard.page import leaderboard
from glioseg.mlops.leaderboard.studies import find_studies
from glioseg.mlops.tracking.storage import ProjectStorage


def cells(row):
    return [cell.text for cell in row.cells]


def report(project):
    """The HTML that `glioseg report` writes."""
    done = CliRunner().invoke(cli.app, ["report", "-o", "out/page.html"])
    assert done.exit_code == 0, done.output
    assert done.output.startswith("out/page.html: models 3, studies 1, ")
    return (project.root / "out" / "page.html").read_text()


def test_rows_hold_means_over_the_cases_and_the_best_model_is_first(sets):
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


def test_an_earlier_evaluation_has_no_hd95_that_could_be_compared(sets):
    new, old = sets[1]
    # What glioseg wrote until HD95 became that of BraTS 2023.
    metrics = {name.replace("_area", ""): value for name, value in old.metrics.items()}
    table = old.table.rename(columns=lambda name: name.replace("_area", ""))
    first, second = leaderboard([new, replace(old, metrics=metrics, table=table)])
    assert (cells(first)[-3:], cells(second)[-3:]) == (["2.0", "2.0", "2.7"], ["–"] * 3)
    assert values(table, "hd95_area_mm", ["case 1"]) == [[None, None, None]]
    assert values(table, "dice", ["case 1"]) == values(old.table, "dice", ["case 1"])


def test_rows_hold_the_origin_of_the_model(project, sets):
    best, second = ([fact.text for fact in row.facts] for row in leaderboard(sets[1]))
    assert second[:4] == ["glioseg 1 @champion", "demo", project.one.run_id[:8], "01234567"]
    assert best[0] == "no"


def test_a_model_without_metrics_comes_last(sets):
    first, *others = sets[1]
    rows = leaderboard([replace(first, metrics={}), *others])
    assert [row.cells[0].value for row in rows] == [pytest.approx(0.7333, abs=1e-4), None]
    assert cells(rows[1]) == ["–"] * 10


@pytest.mark.parametrize("content", [None, b"", b"case,dice_wt\na,1\n", b"\xff\xfe\x00"])
def test_missing_or_broken_files_are_reported_and_not_compared(project, sets, content):
    artifacts = Path(project.client.download_artifacts(sets[1][1].run_id, ""))
    shutil.move(artifacts, f"{artifacts} aside")
    try:
        if content is not None:
            artifacts.mkdir()
            (artifacts / "per_case.csv").write_bytes(content)
        models = find_evaluations(project.client).test_sets[1]
        assert [model.missing for model in models] == [[], ["per_case.csv", "pictures"]]
        assert comparable_models([models]) == []
        assert cells(leaderboard(models)[1])[0] == "0.733"  # MLflow still has the metrics
        assert "missing: per_case.csv, pictures" in report(project)
    finally:
        shutil.rmtree(artifacts, ignore_errors=True)
        shutil.move(f"{artifacts} aside", artifacts)


def test_a_study_without_its_mlflow_run_is_reported(project):
    project.client.delete_run(project.parent)
    try:
        assert find_studies(project.client, ProjectStorage(project.root))[0].tags == {}
        assert "Its MLflow run no longer exists" in report(project)
    finally:
        project.client.restore_run(project.parent)


def test_the_page_loads_nothing_and_contains_each_script_once(project):
    page = report(project)
    assert not re.search(
        r"<(link|iframe)\b|<(script|img)[^>]*\ssrc=.?http|@import|url\(", page.split("<script>")[0]
    )
    assert page.count("plotly.js v") == 1
    assert "2 pictures of cases" not in page
    assert len(page) < 6_000_000


def test_the_page_of_a_project_without_runs_says_so(storage):
    storage.folder.mkdir()
    done = CliRunner().invoke(cli.app, ["report"])
    assert done.exit_code == 0
    assert done.output.startswith("reports/experiments.html: models 0, studies 0, 0.0 MB")
    page = (storage.root / "reports" / "experiments.html").read_text()
    assert "No model has been evaluated, and there is no study yet" in page
    assert "Leaderboard" not in page


def test_outside_a_project_no_file_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    done = CliRunner().invoke(cli.app, ["report"])
    assert done.exit_code == 1
    assert "mlruns: no such folder: run it in the folder of a project" in done.output
    assert os.listdir(tmp_path) == []


def test_a_champion_without_evaluation_is_named(project):
    client = project.client
    client.create_registered_model("other")
    client.create_model_version("other", project.root.as_uri())
    client.set_registered_model_alias("other", "champion", "1")
    try:
        (unseen,) = find_evaluations(client).champions
        assert str(unseen) == "other 1 @champion"
        assert "other 1 @champion is the champion, but this database has no evaluation of it." in report(
            project
        )
    finally:
        client.delete_registered_model("other")

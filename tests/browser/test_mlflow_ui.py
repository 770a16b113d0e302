"""MLflow's page, as `make ui` opens it, in a real browser: two trials side by side."""

import os
import shutil
from pathlib import Path

import pytest
import studies

from glioseg.lab.addresses import Lab
from servers import free_port, server

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]

CURVES = "() => document.querySelector('.js-plotly-plot').data.map(line => [line.name, [...line.y]])"
"""What the page draws: the name and the values of each line."""

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium: Debian's package is called chromium")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    root = tmp_path_factory.mktemp("ui")
    study, _ = studies.run(root)
    return root, study


@pytest.fixture(scope="module")
def page(study):
    from playwright.sync_api import sync_playwright

    port = free_port()
    words = ["mlflow", "ui", "--backend-store-uri", Lab(study[0]).tracking_uri]
    words += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with server(words, port=port, ready="health", **quiet) as address, sync_playwright() as browsers:
        browser = browsers.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        page = browser.new_page(viewport={"width": 1600, "height": 1300}, base_url=address)
        page.set_default_timeout(90_000)
        yield page
        browser.close()


def shoot(page, folder, name):
    """Keep a picture: in the folder that GLIOSEG_SCREENSHOTS names, or with the test's own files."""
    page.screenshot(path=Path(os.environ.get("GLIOSEG_SCREENSHOTS", folder)) / name)


def test_two_trials_compare_side_by_side(page, study, tmp_path):
    trials = study[1].get_trials(states=(studies.COMPLETE,))
    one, other = trials[0], trials[1]
    page.goto("/#/experiments/1/runs")
    row = page.get_by_role("row").filter(has_text=studies.NAME)
    row.get_by_role("button").first.click()  # unfolds the nested runs
    for trial in (one, other):
        nested = page.get_by_role("row").filter(has_text=f"trial {trial.number}")
        nested.get_by_role("checkbox").first.click()
    shoot(page, tmp_path, "mlflow-study.png")

    page.get_by_role("button", name="Compare", exact=True).click()
    page.get_by_text("Comparing 2 Runs from 1 Experiment").wait_for()
    for name, key in (("network.depth", "depth"), ("train.learning_rate", "learning_rate")):
        cells = page.get_by_role("row").filter(has_text=name).last.inner_text()
        assert str(one.params[key]) in cells
        assert str(other.params[key]) in cells
    names = page.get_by_role("row").filter(has_text="Run Name:").inner_text()
    assert f"trial {one.number}" in names
    assert f"trial {other.number}" in names
    shoot(page, tmp_path, "mlflow-compare.png")

    page.get_by_role("link", name="val_dice", exact=True).click()
    page.locator(".js-plotly-plot .scatterlayer .trace").nth(1).wait_for()
    shoot(page, tmp_path, "mlflow-curves.png")
    curves = dict(page.evaluate(CURVES))
    for trial in (one, other):
        epochs = trial.intermediate_values.values()
        assert curves[f"trial {trial.number}"] == pytest.approx(list(epochs))

"""MLflow's page in a real browser, as somebody meets it who compares trials, studies and trained models."""

import pytest

from glioseg.mlops.tracking import mlflow_page
from glioseg.mlops.tracking.storage import ProjectStorage
from tests.helpers import studies, trainings
from tests.helpers.servers import command_lines

RUNS = "/#/experiments/{}/runs?workflowType=machine_learning"
CURVES = "() => document.querySelector('.js-plotly-plot').data.map(line => [line.name, [...line.y]])"
"""What the page draws: the name and the values of each line."""
CARD = "experiment-view-compare-runs-card"
CHART = (
    "card => card.querySelector('.js-plotly-plot').data.map(line => [line.name, [...line.x], [...line.y]])"
)


SAME_LINE = """link => {
    const line = `[style*="top: ${link.parentElement.style.top};"]`;
    let box = link;
    while (box.querySelectorAll(line).length < 3) box = box.parentElement;
    return [...box.querySelectorAll(line)].map(cell => cell.innerText);
}"""
"""The Compare view's metrics are no table: what stands as high as a link."""
FIRST_VISIT = """localStorage.clear();
localStorage.setItem('mlflow.assistant.fab.autoOpenedOnFirstLoad_v1', 'true')"""
"""Nothing is unfolded yet; but MLflow's assistant, which would open over a third of the page, stays shut."""


@pytest.fixture(scope="module")
def tab(browser, mlflow):
    with browser.new_context(viewport={"width": 1400, "height": 1000}, base_url=mlflow) as context:
        context.add_init_script(FIRST_VISIT)
        context.set_default_timeout(90_000)
        yield context.new_page()


@pytest.fixture
def page(tab):
    tab.goto("about:blank")
    return tab


def tick(page, *names):
    """Choose runs of the list that is open."""
    for name in names:
        page.get_by_role("row").filter(has_text=name).get_by_role("checkbox").first.click()


def compare(page):
    page.get_by_role("button", name="Compare", exact=True).click()
    page.get_by_text("Comparing 2 Runs from 1 Experiment").wait_for()


def line(page, name):
    """The text of a row of the Compare view."""
    return page.get_by_role("row").filter(has_text=name).last.inner_text()


def study_row(page):
    return page.get_by_role("row").filter(has_text=studies.NAME)


def chart(page, title):
    """What a chart of the chart view draws: the name, the steps and the values of each line."""
    card = page.get_by_test_id(CARD).filter(has=page.get_by_text(title, exact=True))
    card.locator(".js-plotly-plot .trace").first.wait_for()
    return card.evaluate(CHART)


def test_the_server_starts_no_workers_for_jobs(mlflow):
    running = [command for command in command_lines() if "mlflow" in command]
    assert running
    assert not [command for command in running if "job" in command]


def test_the_list_of_evaluations_shows_dice_at_1500_pixels(browser, mlflow, project, shoot):
    port = int(mlflow.rpartition(":")[2])
    lines = mlflow_page.addresses(ProjectStorage(project.root), port).splitlines()
    (address,) = [line.split()[-1] for line in lines if "test Dice" in line]
    with browser.new_context(viewport={"width": 1500, "height": 900}) as context:
        context.add_init_script(FIRST_VISIT)
        page = context.new_page()
        page.set_default_timeout(90_000)
        page.goto(address)
        for name in ("mean_dice/mean", "dice/WT/mean", "dice/TC/mean", "dice/ET/mean"):
            heading = page.get_by_role("columnheader").filter(has_text=name).first
            heading.wait_for()
            box = heading.bounding_box()
            assert box["x"] + box["width"] <= 1500
        row = page.get_by_role("row").filter(has_text="0.733").first
        row.wait_for()
        shoot(page, "mlflow-evaluations.png")


def test_two_trials_compare_side_by_side(page, project, shoot):
    trials = project.study.get_trials(states=(studies.COMPLETE,))
    one, other = trials[0], trials[1]
    page.goto(RUNS.format(1))
    study_row(page).get_by_role("button").first.click()  # unfolds the nested runs
    tick(page, f"trial {one.number}", f"trial {other.number}")
    compare(page)
    for name, key in (("network.depth", "depth"), ("train.learning_rate", "learning_rate")):
        assert str(one.params[key]) in line(page, name)
        assert str(other.params[key]) in line(page, name)
    names = line(page, "Run Name:")
    assert f"trial {one.number}" in names
    assert f"trial {other.number}" in names
    page.locator(".js-plotly-plot").first.wait_for()
    shoot(page, "mlflow-trials.png")

    page.get_by_role("link", name="val_dice", exact=True).click()
    page.locator(".js-plotly-plot .scatterlayer .trace").nth(1).wait_for()
    curves = dict(page.evaluate(CURVES))
    for trial in (one, other):
        epochs = trial.intermediate_values.values()
        assert curves[f"trial {trial.number}"] == pytest.approx(list(epochs))


def test_the_chart_view_of_a_study_shows_how_it_went_and_unfolded_each_trial(page, project, shoot):
    page.goto(RUNS.format(1) + "&compareRunsMode=CHART")
    reached = [max(trial.intermediate_values.values()) for trial in project.study.trials]
    (history, *_) = chart(page, "val_dice_by_trial")
    assert history == [studies.NAME, list(range(len(reached))), pytest.approx(reached)]
    study_row(page).get_by_role("button").first.click()
    page.get_by_role("row").filter(has_text="trial 4").wait_for()
    drawn = {name: y for name, _, y in chart(page, "val_dice")}
    assert [values for _, values in sorted(drawn.items())] == [
        pytest.approx(list(trial.intermediate_values.values())) for trial in project.study.trials
    ]
    shoot(page, "mlflow-study.png")


def test_two_trained_models_compare_side_by_side(page, project, shoot):
    one, other = project.models
    page.goto(RUNS.format(2))
    tick(page, one.name, other.name)
    compare(page)
    assert line(page, "network.depth").split() == ["network.depth", "3", "4"]
    assert line(page, "preset").split() == ["preset", "demo", "demo"]
    page.get_by_role("link", name="val_dice", exact=True).click()
    page.locator(".js-plotly-plot .scatterlayer .trace").nth(1).wait_for()
    curves = dict(page.evaluate(CURVES))
    for model, depth in ((one, 3), (other, 4)):
        assert curves[model.name] == pytest.approx(trainings.curve(depth))
    shoot(page, "mlflow-curves.png")


def test_two_evaluations_compare_side_by_side(page, project, shoot):
    one, other = project.models
    page.goto(RUNS.format(3))
    tick(page, one.name, other.name)
    compare(page)
    assert line(page, "Run Name:").split("\n")[1::2] == [one.name, other.name]
    assert line(page, "train.learning_rate").split()[1:] == [str(0.01 / 3), str(0.01 / 4)]
    dice = page.get_by_role("link", name="dice/ET/mean", exact=True)
    page.get_by_role("switch").nth(1).click()  # shows of the metrics those that differ
    dice.scroll_into_view_if_needed()
    assert dice.evaluate(SAME_LINE) == ["dice/ET/mean", "0.667", "0.733"]
    shoot(page, "mlflow-models.png")


def test_a_model_s_own_page_has_its_test_dice_and_the_data_that_it_was_measured_on(page, project, shoot):
    page.goto(f"/#/experiments/2/models/{project.models[1].model_id}?workflowType=machine_learning")
    row = page.get_by_role("row").filter(has_text="dice/ET/mean").first
    row.wait_for()
    shoot(page, "mlflow-model.png")
    assert "0.733" in row.inner_text()
    assert "phantoms" in row.inner_text()

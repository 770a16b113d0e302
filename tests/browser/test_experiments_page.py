"""The experiments page in a real browser that has no network: from the file, as a reader opens it."""

import numpy as np
import pytest
from typer.testing import CliRunner

from glioseg import cli
from tests.helpers import studies, trainings

MEANS = {
    name: np.mean(list(cases.values()), axis=1) for name, cases in (("A", trainings.A), ("B", trainings.B))
}
DEEPER, SHALLOWER = "demo c07e, 8×4, 2 mm, 4 epochs, seed 1", "demo a3f2, 8×3, 2 mm, 4 epochs, seed 1"
TEXTS = "rows => rows.map(row => [...row.cells].map(cell => cell.innerText.trim()))"
PIXELS = "image => [image.complete, image.naturalWidth > 100]"


@pytest.fixture(scope="session")
def page_file(project):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project.root)
        patch.delenv("DVC_ROOT", raising=False)
        done = CliRunner().invoke(cli.app, ["report"])
    assert done.exit_code == 0, done.output
    return project.root / "reports" / "experiments.html"


@pytest.fixture
def open_page(page_file, visit):
    """Open the page without a network; what it asked for and complained of is seen at the end."""
    asked, said = [], []

    def come(**how):
        page = visit(**how)
        page.context.set_offline(True)
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(page_file.as_uri())
        return page

    yield come
    assert {url.split(":")[0] for url in asked} <= {"file", "data"}
    assert [url for url in asked if url.startswith("file:")] == [page_file.as_uri()]
    assert said == []


def rows(page, table):
    return page.locator(f"{table} tbody tr").evaluate_all(TEXTS)


def test_it_compares_two_models_case_by_case_with_their_pictures(open_page):
    page = open_page(viewport={"width": 1480, "height": 1000})
    assert [row[:3] for row in rows(page, "#cases")] == [
        ["case 1", "▼ −0.067\n0.800 → 0.733", "▼ −0.100\n0.900 → 0.800"],
        ["case 2", "▲ +0.100\n0.800 → 0.900", "▲ +0.100\n0.800 → 0.900"],
        ["case 3", "▲ +0.100\n0.600 → 0.700", "0.000\n0.700 → 0.700"],
    ]
    assert page.locator(".plots svg").count() == 4
    dots = page.locator(".plots svg").nth(1).locator("a")
    assert dots.evaluate_all("all => all.map(dot => dot.className.baseVal)") == ["worse", "better", "same"]
    pictures = page.locator("#pictures .case img")
    assert pictures.count() == 6
    pictures.last.scroll_into_view_if_needed()
    assert pictures.evaluate_all(f"all => all.map({PIXELS})") == [[True, True]] * 6
    assert rows(page, "#settings") == [
        ["network.depth", "3", "4"],
        ["train.learning_rate", "0.0033333", "0.0025"],
    ]


def test_the_interval_is_that_of_a_bootstrap(open_page):
    mean = rows(open_page(), "#summary")[0]
    assert mean[:4] == ["mean", "0.733", "0.778", "+0.044"]
    difference = MEANS["B"] - MEANS["A"]
    draws = np.random.default_rng(0).integers(3, size=(100_000, 3))
    expected = np.percentile(difference[draws].mean(axis=1), [2.5, 97.5])  # of three cases: the extremes
    assert [float(end.replace("−", "-")) for end in mean[4].split(" to ")] == pytest.approx(
        expected, abs=6e-4
    )
    assert mean[5:] == ["2", "1", "0"]


def test_hd95_is_better_where_it_is_smaller(open_page):
    page = open_page()
    page.locator("#measure").select_option("hd95_area_mm")
    assert sorted(row[:2] for row in rows(page, "#cases")) == [
        ["case 1", "▼ +0.7\n2.0 → 2.7"],
        ["case 2", "▲ −1.0\n2.0 → 1.0"],
        ["case 3", "▲ −1.0\n4.0 → 3.0"],
    ]


def test_the_keyboard_is_enough(open_page):
    page = open_page()
    page.locator("#a").focus()
    page.keyboard.press("ArrowUp")  # A becomes the other model, and B the one that A was
    assert rows(page, "#cases")[0][:2] == ["case 2", "▼ −0.100\n0.900 → 0.800"]
    page.locator("#cases thead button").nth(2).press("Enter")
    assert [row[2].split("\n")[0] for row in rows(page, "#cases")] == ["▼ −0.100", "0.000", "▲ +0.100"]
    assert page.locator("#pictures h4").all_inner_texts() == ["case 2", "case 3", "case 1"]
    page.locator("#pictures button").first.press("Enter")
    shown = page.locator("#large span")
    assert shown.inner_text().endswith(DEEPER)
    page.keyboard.press("ArrowRight")
    assert shown.inner_text().endswith(SHALLOWER)
    page.keyboard.press("Escape")
    assert not page.locator("#large").is_visible()


def test_the_leaderboard_sorts_by_what_is_chosen(open_page):
    page = open_page()
    assert [row[0] for row in rows(page, ".board")] == [DEEPER, SHALLOWER]
    heading = page.locator(".board thead button").last  # tested: the newest first
    heading.click()
    assert page.locator(".board [aria-sort]").get_attribute("aria-sort") == "descending"
    page.locator(".board thead button").first.click()
    assert [row[0] for row in rows(page, ".board")] == [SHALLOWER, DEEPER]


def test_the_study_s_plots_show_its_trials(open_page, project):
    page = open_page(viewport={"width": 1480, "height": 1000})
    page.locator(".figure .js-plotly-plot, .figure.js-plotly-plot").nth(3).wait_for()
    history = page.locator(".figure").first.evaluate("place => [...place.data[0].y].filter(Number.isFinite)")
    reached = [trial.value for trial in project.study.get_trials(states=(studies.COMPLETE,))]
    assert history == pytest.approx(reached)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_narrow_window_in_light_and_dark(open_page, scheme):
    page = open_page(viewport={"width": 390, "height": 800}, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    red, green, blue = page.evaluate(
        "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"
    )
    assert (red + green + blue < 150) == (scheme == "dark")

import re
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from glioseg.eval.charts import dice_chart
from glioseg.eval.metrics import CASE_METRICS, METRICS, STRUCTURES, column
from glioseg.eval.pictures import PLANES, PREDICTION, TRUTH
from glioseg.eval.report import write_report
from glioseg.eval.summary import summarise

SCORES = {"worst <one>": 0.125, "middling": 0.5, "best": 0.875}


@pytest.fixture
def table():
    names = [column(metric, structure) for metric in METRICS for structure in STRUCTURES]
    rows = [{"case": case, **dict.fromkeys([*names, *CASE_METRICS], score)} for case, score in SCORES.items()]
    return pd.DataFrame(rows)


@pytest.fixture
def page(table, tmp_path):
    for case in SCORES:
        Image.new("RGB", (30, 20), "red").save(tmp_path / PLANES.format(case))
        for name in (TRUTH, PREDICTION):
            Image.new("P", (30, 20)).save(tmp_path / name.format(case))
    summary = summarise(table, samples=20, seed=0)
    origin, params = {"data": "0123abcd.dir"}, {"train.epochs": 16}
    return write_report(table, summary, pictures=tmp_path, origin=origin, params=params)


def test_nothing_is_fetched(page):
    assert not re.search(r"https?://|//[a-z]", re.sub(r"base64,[^\"]+", "", page))
    targets = re.findall(r"(?:src|href|srcset|action|data)\s*=\s*[\"']([^\"']*)", page)
    assert targets
    assert all(target.startswith(("data:", "#")) for target in targets)
    assert not re.search(r"<(script|link|iframe|object)|@import|url\(", page)


def test_the_worst_case_comes_first_everywhere(page):
    places = [
        [match.start() for match in re.finditer(case, page)]
        for case in ("worst &lt;one&gt;", "middling", "best")
    ]
    listed, pictured = ([place[nth] for place in places] for nth in (0, -1))
    assert listed == sorted(listed)
    assert pictured == sorted(pictured)


def test_every_picture_is_embedded(page):
    assert page.count("data:image/webp;base64,") == len(SCORES)
    assert page.count("data:image/gif;base64,") == 2 * len(SCORES)
    assert page.count("data:image/svg+xml;base64,") == 1


def test_numbers_origin_and_parameters_are_there(page):
    for text in ("0.125", "0.875", "0.500", "0123abcd.dir", "train.epochs", "16", "3 test cases"):
        assert text in page


def test_names_are_escaped(page):
    assert "<one>" not in page


def test_same_input_same_page(table, page, tmp_path):
    summary = summarise(table, samples=20, seed=0)
    again = write_report(
        table, summary, pictures=tmp_path, origin={"data": "0123abcd.dir"}, params={"train.epochs": 16}
    )
    assert again == page


def test_chart_shows_a_dot_for_each_case(table):
    chart = dice_chart(table).decode()
    assert chart.startswith("<?xml")
    assert all(name in chart for name in ("WT", "TC", "ET", "NCR", "ED", "Dice"))
    assert dice_chart(table).decode() == chart


def test_a_missing_picture_is_named(table, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"worst <one>\.png"):
        write_report(
            table, summarise(table, samples=5, seed=0), pictures=Path(tmp_path), origin={}, params={}
        )

import re
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from glioseg.core.errors import GliosegError
from glioseg.core.labels import REGIONS
from glioseg.evaluation.case_pictures import PLANES_FILE, PREDICTION_FILE, TRUTH_FILE
from glioseg.evaluation.columns import (
    CASE_METRICS,
    METRICS,
    PREDICTION_METRICS,
    REGION_METRICS,
    STRUCTURES,
    column,
)
from glioseg.evaluation.modality_subsets import SUBSETS
from glioseg.evaluation.outcomes import outcome_scores
from glioseg.evaluation.report import webp_uri, write_report
from glioseg.evaluation.summary import summarise

SCORES = {"worst <one>": 0.125, "middling": 0.5, "best": 0.875}


@pytest.fixture
def table():
    names = [column(metric, structure) for metric in METRICS for structure in STRUCTURES]
    regional = (*REGION_METRICS, *PREDICTION_METRICS)
    names += [column(metric, region) for metric in regional for region in REGIONS]
    rows = [{"case": case, **dict.fromkeys([*names, *CASE_METRICS], score)} for case, score in SCORES.items()]
    # Two lesions in each region of each case, of which one is missed, and the worst case's WT is too small.
    counts = {column("lesions", region): 2 for region in REGIONS}
    counts |= {column("missed_lesions", region): 1 for region in REGIONS}
    counts |= {column("false_lesions", region): 0 for region in REGIONS}
    table = pd.DataFrame(rows).assign(**counts, grade=None, survival_days=None, interval_level=0.875)
    table.loc[0, "truth_wt_ml"] = 31.4
    return table


@pytest.fixture
def pictures(tmp_path):
    for case in SCORES:
        Image.new("RGB", (30, 20), "red").save(tmp_path / PLANES_FILE.format(case))
        for name in (TRUTH_FILE, PREDICTION_FILE):
            Image.new("P", (30, 20)).save(tmp_path / name.format(case))
    return tmp_path


def written(table, pictures, **more):
    summary = summarise(table, samples=20, seed=0) | more
    origin, params = {"data": "0123abcd.dir"}, {"train.epochs": 16}
    return write_report(table, summary, pictures=pictures, origin=origin, params=params)


@pytest.fixture
def page(table, pictures):
    return written(table, pictures)


def text_of(page):
    """The text of a page without its tags, with single spaces."""
    return " ".join(re.sub(r"<style>.*?</style>|<[^>]+>", " ", page, flags=re.DOTALL).split())


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


def test_numbers_origin_and_parameters_are_in_the_page(page):
    for text in ("0.125", "0.875", "0.500", "0123abcd.dir", "train.epochs", "16", "3 test cases"):
        assert text in page


def test_names_are_escaped(page):
    assert "<one>" not in page


def test_same_input_same_page(table, page, pictures):
    assert written(table, pictures) == page


def test_lesions_are_counted_over_all_cases(page):
    assert text_of(page).count("3 of 6 found 0 false") == 3


def test_the_coverage_of_the_intervals_is_in_the_page(page):
    assert text_of(page).count("100 % of cases") == 2
    assert text_of(page).count("67 % of cases") == 1  # WT
    assert "true in 88 % interval" in text_of(page)
    assert "holds the true volume in 88 % or more" in text_of(page)


def test_a_model_without_intervals_is_reported_without_them(table, pictures):
    without = [column(end, region) for end in ("low_ml", "high_ml") for region in REGIONS]
    page = written(table.drop(columns=[*without, "interval_level"]), pictures)
    for words in ("% of cases", "true in", "<small>outside"):
        assert words not in page
    assert "too few calibration cases for intervals of volumes" in text_of(page)
    assert 'class="off"' not in page


def test_a_true_volume_outside_its_interval_is_marked(page):
    assert re.search(r'class="off">31\.4<small>outside</small>', page)
    assert page.count('class="off"') == 1
    assert text_of(page).count("1 of 2 0 false") == 9


def test_optional_sections_are_absent_by_default(page):
    for word in ("Grade", "Survival", "Incomplete scans", "probability"):
        assert f">{word}" not in page


def test_outcomes_have_their_baseline_and_truth(table, pictures):
    table = table.assign(
        grade=["LGG", "HGG", None],
        grade_lgg=[0.8, 0.3, 0.5],
        survival_days=[400.0, None, 200.0],
        survival_days_predicted=[410.4, 100.0, 220.0],
    )
    page = written(table, pictures, **outcome_scores(table, training=[]))
    text = text_of(page)
    assert "2 test cases with known grade model without a model Area under the ROC curve 1.000 0.500" in text
    assert "Mean squared error, days² 254 its root: 16 days not defined" in text
    assert "low grade with probability 0.80, truth LGG; survival 410 days, truth 400 days" in text
    assert "low grade with probability 0.50, truth not known; survival 220 days, truth 200 days" in text


def test_an_undefined_score_has_its_reason(table, pictures):
    table = table.assign(grade="HGG", grade_lgg=0.5)
    text = text_of(written(table, pictures, **outcome_scores(table, training=[])))
    assert "not defined expected test cases of both grades, got 0 LGG and 3 HGG" in text


def test_each_subset_of_the_modalities_is_a_row(table, pictures):
    dice = {"WT": 0.9, "TC": 0.8, "ET": 0.7, "mean": 0.8}
    rows = [{"modalities": list(subset), "dice": dice} for subset in SUBSETS]
    text = text_of(written(table, pictures, modality_subsets=rows))
    assert text.count("0.900 0.800 0.700 0.800") == 15
    assert "– ● – ● 0.900" in text  # t1ce and flair


def test_the_error_names_a_missing_picture(table, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"worst <one>\.png"):
        write_report(
            table, summarise(table, samples=5, seed=0), pictures=Path(tmp_path), origin={}, params={}
        )


@pytest.mark.parametrize("bytes_left", [0, 100])
def test_the_error_names_a_truncated_picture(tmp_path, bytes_left):
    file = tmp_path / "planes.png"
    Image.effect_noise((64, 64), 50).save(file)
    file.write_bytes(file.read_bytes()[:bytes_left])
    with pytest.raises(GliosegError, match=r"planes\.png: not a whole picture: "):
        webp_uri(file)

"""Measures of `bench.case_measures` on a ball in a ball, and the page that compares cohorts by them."""

import numpy as np
import pandas as pd
import pytest
from bench.case_measures import measure, quantile_of
from bench.phantoms_vs_real import grouped, outside_of, page, verdict

SPACING_MM, RADIUS_MM = 2, 20.0
LEVELS = {"white": 1.0, "grey": 0.4, "csf": -2.0}
"""T1 signals of the brain: white matter inside, grey matter around it, CSF at its edge."""


@pytest.fixture(scope="module")
def measures():
    """Measures of a brain of 70 mm radius with a ball of oedema of 20 mm, 25 mm left of its centre."""
    axis = (np.arange(76) - 37.5) * SPACING_MM
    x, y, z = np.meshgrid(axis, axis, axis, indexing="ij")
    radius, tumour = np.sqrt(x**2 + y**2 + z**2), np.sqrt((x + 25) ** 2 + y**2 + z**2)
    brain = radius < 70
    t1 = np.select([radius < 50, radius < 64], [LEVELS["white"], LEVELS["grey"]], LEVELS["csf"])
    noise = np.random.default_rng(0).normal(0, 0.02, t1.shape)
    # FLAIR of the oedema is 1.5 deep inside and falls to 0 over 6 mm around the margin.
    flair = 1.5 * np.clip((RADIUS_MM + 3 - tumour) / 6, 0, 1)
    image = np.stack([t1 + noise, t1 + noise, t1 + noise, flair + noise], axis=-1)
    labels = np.where(tumour < RADIUS_MM, 2, 0).astype(np.uint8)
    return measure(image * brain[..., None], labels, SPACING_MM)


def test_volumes_are_those_of_balls(measures):
    assert measures["WT, ml"] == pytest.approx(4 / 3 * np.pi * 2.0**3, rel=0.03)  # 33.5 ml
    assert measures["brain, ml"] == pytest.approx(4 / 3 * np.pi * 7.0**3, rel=0.01)
    assert measures["TC, ml"] == 0


def test_contrasts_are_differences_of_the_levels(measures):
    assert measures["T1: grey − white"] == pytest.approx(-0.6, abs=0.03)
    assert measures["FLAIR: ED − white"] == pytest.approx(1.5, abs=0.1)
    assert np.isnan(measures["FLAIR: ET − white"])


def test_a_ramp_of_6_mm_has_three_eighths_of_its_step_within_1_mm_of_the_margin(measures):
    # The ramp falls by 1/3 from 1 mm inside to 1 mm outside. Its mean is 8/9 over the bins at 1, 3 and 5 mm
    # inside (2/3, 1 and 1) and 0 outside, at 3 and 5 mm. Voxels of 2 mm make the distances inexact.
    assert measures["FLAIR, margin of WT: share of the step within ±1 mm"] == pytest.approx(3 / 8, abs=0.12)


def test_a_ball_is_round_and_lies_on_one_side(measures):
    # The surface of the mesh over voxels of a ball is a few per cent too large.
    assert 0.9 < measures["WT: sphericity"] <= 1.02
    assert measures["WT: components"] == 1
    assert measures["WT: share in the other hemisphere"] == 0
    assert measures["WT: thickness, mm"] == pytest.approx(2 * RADIUS_MM, abs=8)


def test_a_quantile_counts_ties_half():
    assert quantile_of(1.0, np.array([0.0, 1.0, 1.0, 2.0])) == 0.5
    assert np.isnan(quantile_of(np.nan, np.array([0.0])))


def test_the_page_names_the_cases_outside_what_is_drawn():
    real = pd.DataFrame({"WT, ml": [50.0, 236.0]}, ["BraTS2021_00001", "BraTS2021_00002"])
    drawn = pd.DataFrame({"WT, ml": np.linspace(10, 150, 101)})
    assert list(outside_of(real["WT, ml"], drawn["WT, ml"])) == [236.0]
    text = page(real, {"typical": drawn, "domain_randomised": drawn})
    assert "00002 236" in text
    assert "50.0 %" in text  # one of two values is inside


def test_the_verdict_counts_values_outside_and_names_the_worst_measures():
    drawn = pd.DataFrame({"WT, ml": np.linspace(0, 100, 101), "TC, ml": np.linspace(0, 100, 101)})
    real = pd.DataFrame({"WT, ml": [50.0, 236.0, 99.0], "TC, ml": [50.0, np.nan, 99.0]})
    # Of five values, three are above the 98th percentile, which is 98. One case alone is not named.
    assert " ".join(verdict(real, drawn).split()) == (
        "**3 of 5 values of real cases (60.0 %) are outside `domain_randomised`.**"
        " Measures with most cases outside: *WT, ml* (2 of 3)."
    )
    assert "most" not in verdict(real.head(1), drawn)


def test_every_measure_has_its_group(measures):
    groups = grouped(list(measures))
    assert sum(map(len, groups.values())) == len(measures)
    assert groups["Margins"][0] == "FLAIR, margin of WT: step"
    assert groups["Edge of the brain"][0] == "T1ce: 99th percentile at the edge − white"

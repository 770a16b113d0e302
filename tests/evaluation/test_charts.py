import pandas as pd
import pytest

from glioseg.core.labels import REGIONS
from glioseg.evaluation.charts import SHOWN, dice_chart, risk_coverage_chart
from glioseg.evaluation.columns import column


@pytest.fixture
def table():
    """Three cases, with the Dice of every structure and the confidence of every region."""
    dice = {column("dice", structure): [1.0, 0.6, 0.2] for structure in SHOWN}
    confidence = {column("confidence", region): [0.5, 0.9, 0.1] for region in REGIONS}
    return pd.DataFrame(dice | confidence)


def test_the_dice_chart_names_all_structures_and_is_reproducible(table):
    chart = dice_chart(table).decode()
    assert chart.startswith("<?xml")
    assert all(name in chart for name in ("WT", "TC", "ET", "NCR", "ED", "Dice"))
    assert dice_chart(table).decode() == chart


def test_the_dice_chart_has_a_dot_for_each_case(table):
    def dots(rows):
        return dice_chart(rows).decode().count("<use ")

    more = dots(pd.concat([table, table], ignore_index=True)) - dots(table)
    assert more == len(table) * len(SHOWN)


def test_the_risk_coverage_chart_names_its_curves_and_is_reproducible(table):
    chart = risk_coverage_chart(table)
    assert chart == risk_coverage_chart(table)
    for text in (b"WT", b"TC", b"ET", b"by confidence", b"in random order", b"most confident cases, %"):
        assert text in chart

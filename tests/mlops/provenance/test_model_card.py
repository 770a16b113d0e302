"""The model card: its content comes from the recorded facts, and unknown facts are named as such."""

import json
import re
from html.parser import HTMLParser

import pytest

from glioseg.mlops.provenance.model_card import model_card
from glioseg.mlops.provenance.record import Record

NUMBERS = {"mean": 0.8125, "median": 0.9, "low": 0.5, "high": 0.9375}
REGIONS = dict.fromkeys(("WT", "TC", "ET"), NUMBERS)
METRICS = {
    "cases": 4,
    **dict.fromkeys(("dice", "hd95_area_mm", "lesion_dice"), REGIONS),
    "calibration_error": {key: {"mean": 0.125, "low": 0, "high": 1} for key in REGIONS},
    "volume_interval_coverage": dict.fromkeys(REGIONS, 0.75),
    "volume_interval_level": 0.875,
}
NETWORK = {"architecture": "seed", "base_filters": 8, "depth": 4, "spacing_mm": 2}
FACTS = {
    "raw_data": {"md5": "ab.dir", "cases": 9, "source": "folder", "schemes": ["brats2021"]},
    "split": {"md5": "cd", "train": 4, "validation": 1, "test": 4},
    "study": None,
    "parameters": {"sha256": "ef", "best": {"depth": 4}, "used": {"network": NETWORK, "train": {"seed": 1}}},
    "model": {
        "spacing_mm": 2,
        "modality_dropout": 0.25,
        "calibration_error_before": [0.0625, 0.0625, 0.0625],
        "calibration_error_after": [0.03125, 0.03125, 0.03125],
    },
}
MISSING = {"code": "there was no git, no repository or no commit"}


class Text(HTMLParser):
    """The texts of a page, and all addresses in it."""

    def __init__(self, page):
        super().__init__()
        self.addresses, self.parts = [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.addresses += [value for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data):
        self.parts.append(data.strip())


@pytest.fixture
def write(tmp_path):
    def write(facts=FACTS, missing=MISSING, metrics=METRICS, name="glioseg"):
        if metrics:
            (tmp_path / "metrics.json").write_text(json.dumps(metrics))
        card = model_card(name, "3", Record(facts, missing, {}), tmp_path)
        card.write(tmp_path)
        return card, (tmp_path / "model_card.md").read_text(), (tmp_path / "model_card.html").read_text()

    return write


def test_metrics_have_their_intervals(write):
    _, text, page = write()
    row = "| WT | 0.812 (0.5 to 0.938) | 0.812 (0.5 to 0.938) | 0.812 (0.5 to 0.938) |"
    assert row in text
    assert Text(page).parts.count("0.812 (0.5 to 0.938)") == 9
    assert "| TC | 0.0625 | 0.0312 | 0.1250 | 75% |" in text
    assert "volume lies in the model's 88 % prediction interval" in text


def test_a_model_without_intervals_or_without_their_level(write):
    old = {name: value for name, value in METRICS.items() if name != "volume_interval_level"}
    assert "volume lies in the model's interval" in write(metrics=old)[1]
    without = {name: value for name, value in old.items() if name != "volume_interval_coverage"}
    assert "| TC | 0.0625 | 0.0312 | 0.1250 | no interval |" in write(metrics=without)[1]


def test_training_data_limitations_and_parameters_come_from_the_facts(write):
    _, text, _ = write()
    assert "a folder of the user's own scans" in text
    for part, count in {"all": 9, "train": 4, "validation": 1, "test": 4}.items():
        assert f"| {part} | {count} |" in text
    assert "25% of the training patches lacked some" in text
    assert "| network.depth | 4 | the study |" in text
    assert "| train.seed | 1 | params.yaml |" in text
    assert "| study | none: tune.trials is 0 |" in text
    assert "| code | unknown: there was no git, no repository or no commit |" in text
    assert "glioseg reproduce models:/glioseg/3" in text


def test_the_card_rules_out_clinical_use_and_names_synthetic_data(write):
    facts = FACTS | {"raw_data": FACTS["raw_data"] | {"source": "phantom"}}
    card, text, _ = write(facts=facts)
    assert card.summary.endswith("Trained and tested on synthetic phantoms only. Not for clinical use.")
    assert "must not guide the diagnosis or the treatment" in text
    assert "They contain no patient data" in text


def test_unknown_facts_are_not_invented(write):
    card, text, _ = write(facts={}, missing={"raw_data": "dvc.lock had no hash of data/raw"}, metrics=None)
    assert "Unknown: dvc.lock had no hash of data/raw." in text
    assert "Unknown: no metrics were recorded with this version." in text
    assert card.summary == (
        "A 3D U-Net that segments gliomas in MRI: t1, t1ce, t2, flair. Not for clinical use."
    )
    assert not re.search(r"Dice \d|None|nan", text)


def test_the_page_has_the_same_sections_as_the_text_and_loads_nothing(write):
    card, text, page = write(name="a <b> & c")
    found = Text(page)
    assert found.addresses == []
    assert "url(" not in page
    assert "<b>" not in page
    assert [section.title for section in card.sections] == re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert {section.title for section in card.sections} <= set(found.parts)
    assert "a <b> & c, version 3" in found.parts


def test_tables_of_the_text_are_valid_markdown(write):
    _, text, _ = write()
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        head, rule, *rows = block.splitlines()
        assert rule == "|" + "---|" * (head.count("|") - 1)
        assert rows
        assert {row.count("|") for row in rows} == {head.count("|")}

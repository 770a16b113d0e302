"""The model card of a version: data, intended use, metrics, calibration, limitations, lineage and settings.

Mitchell M, Wu S, Zaldivar A, et al.: Model Cards for Model Reporting. FAT* 2019.

The card contains only facts from the version's recorded files, and gives the reason if a fact is unknown.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from glioseg.core.files import write_atomic
from glioseg.core.labels import REGIONS
from glioseg.core.modalities import MODALITIES
from glioseg.mlops.provenance.collectors import RECORDED_FILES
from glioseg.mlops.provenance.record import Record
from glioseg.models.inference.prediction import percent

PAGES = ("model_card.md", "model_card.html")
MEASURES = {"dice": "Dice", "hd95_area_mm": "HD95, mm", "lesion_dice": "Lesion-wise Dice"}
SETTINGS = ("network", "train", "inference", "crop", "split", "evaluate")
UNKNOWN = "unknown"
NOT_IN_LINEAGE = ("parameters", "model", "pretraining")  # other sections show these facts
SOURCES = {
    "phantom": "synthetic cases of glioseg's phantom generator: synthetic brains with synthetic tumours. They"
    " contain no patient data, and the metrics below say nothing about patients.",
    "folder": "a folder of the user's own scans. Their scanners, sites and patients are not recorded here.",
}
USE = (
    "Research on the segmentation of gliomas in MRI: the model labels whole tumour (WT), tumour core (TC) and"
    " enhancing tumour (ET) in skull-stripped, co-registered scans like those of BraTS.",
    "Not for clinical use: the model is not a medical device, and must not guide the diagnosis or the"
    " treatment of a patient.",
)


@dataclass(frozen=True)
class Table:
    """A small table of text cells."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Section:
    """A section of the card: paragraphs, then a table."""

    title: str
    text: Sequence[str]
    table: Table | None = None


@dataclass(frozen=True)
class Card:
    """A model card; `summary` is its first paragraph, and the version's description in the registry."""

    title: str
    summary: str
    sections: Sequence[Section]

    def write(self, folder: Path) -> None:
        """Write the card as Markdown and as an HTML page that loads nothing from the network."""
        loader = jinja2.PackageLoader("glioseg.mlops.provenance")
        pages = jinja2.Environment(
            loader=loader,
            autoescape=jinja2.select_autoescape(),
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        for page in PAGES:
            write_atomic(folder / page, pages.get_template(page).render(card=self).encode())


def model_card(name: str, version: str, record: Record, folder: Path) -> Card:
    """The card of a version.

    Args:
        name: the registered model.
        version: its number.
        record: its lineage record.
        folder: holds the recorded files.
    """
    metrics = _metrics(folder)
    sections = [
        Section("Training data", *_data(record)),
        Section("Intended use", USE),
        Section("Metrics", *scores(metrics)),
        Section("Calibration", *_calibration(record, metrics)),
        Section("Limitations", _limitations(record)),
        Section("Lineage", *lineage_table(record)),
        Section("Reproducing it", _reproducing(name, version)),
        Section("Parameters", *_parameters(record)),
    ]
    return Card(f"{name}, version {version}", _summary(record, metrics), sections)


def _metrics(folder: Path) -> Mapping[str, Any] | None:
    file = folder / "metrics.json"
    found: Mapping[str, Any] | None = json.loads(file.read_text()) if file.is_file() else None
    return found if found and found.keys() >= MEASURES.keys() else None


def _summary(record: Record, metrics: Mapping[str, Any] | None) -> str:
    lines = [f"A 3D U-Net{_shape(record)} that segments gliomas in MRI: {', '.join(MODALITIES)}."]
    if metrics:
        dice = ", ".join(f"{region} {metrics['dice'][region]['mean']:.3f}" for region in REGIONS)
        lines.append(f"Mean Dice on {metrics['cases']} test cases: {dice}.")
    if record.facts.get("raw_data", {}).get("source") == "phantom":
        lines.append("Trained and tested on synthetic phantoms only.")
    return " ".join([*lines, "Not for clinical use."])


def _shape(record: Record) -> str:
    if "parameters" not in record.facts:
        return ""
    network = record.facts["parameters"]["used"]["network"]
    words = ("{architecture}", "{base_filters} filters", "depth {depth}", "{spacing_mm} mm")
    return f" ({', '.join(words).format(**network)})"


def _data(record: Record) -> tuple[list[str], Table | None]:
    facts = record.facts
    if "raw_data" not in facts:
        return [_unknown(record, "raw_data")], None
    raw = facts["raw_data"]
    rows = [["all", str(raw["cases"])]]
    rows += [
        [part, str(facts["split"][part])] for part in ("train", "validation", "test") if "split" in facts
    ]
    text = [
        f"The model was trained on {SOURCES[raw['source']]}",
        f"Label schemes: {', '.join(raw['schemes'])}.",
    ]
    return text, Table(("part", "cases"), rows)


def scores(metrics: Mapping[str, Any] | None) -> tuple[list[str], Table | None]:
    """The text and the table of section "Metrics"."""
    if metrics is None:
        return [f"{UNKNOWN.capitalize()}: no metrics were recorded with this version."], None
    rows = [[region, *(_interval(metrics[measure][region]) for measure in MEASURES)] for region in REGIONS]
    text = (
        f"Means over {metrics['cases']} test cases, which were used neither for training nor for choosing"
        " settings, each with the 95 % bootstrap interval of the mean over cases. With few cases these"
        " intervals are too narrow."
    )
    return [text], Table(("region", *MEASURES.values()), rows)


def _interval(summary: Mapping[str, float]) -> str:
    return "{mean:.3g} ({low:.3g} to {high:.3g})".format(**summary)


def _calibration(record: Record, metrics: Mapping[str, Any] | None) -> tuple[list[str], Table | None]:
    model = record.facts.get("model", {})
    before, after = (model.get(f"calibration_error_{when}") for when in ("before", "after"))
    if not (before and after):
        return [_unknown(record, "model")], None
    tested = metrics or {}
    errors, coverage = tested.get("calibration_error", {}), tested.get("volume_interval_coverage", {})
    rows = [
        [
            region,
            f"{old:.4f}",
            f"{new:.4f}",
            f"{errors[region]['mean']:.4f}" if region in errors else UNKNOWN,
            f"{coverage[region]:.0%}" if region in coverage else "no interval" if tested else UNKNOWN,
        ]
        for region, old, new in zip(REGIONS, before, after, strict=True)
    ]
    text = (
        "Expected calibration error of each region's probabilities (Guo et al. 2017), on the validation cases"
        " before and after temperature scaling and on the test cases; and the share of test cases whose true"
        f" volume lies in the model's {_level(tested)}interval."
    )
    head = ("region", "validation, before", "validation, after", "test", "volume in interval")
    return [text], Table(head, rows)


def _level(metrics: Mapping[str, Any]) -> str:
    """The text before the word "interval": its level; empty for older versions, which did not measure it."""
    level = metrics.get("volume_interval_level")
    return "" if level is None else f"{percent(level)} prediction "


def _limitations(record: Record) -> list[str]:
    lines = [
        "Scans must be skull-stripped, co-registered, and on one grid of about 1 mm; others are rejected."
    ]
    model = record.facts.get("model")
    if model:
        lines.append(f"The network works at {model['spacing_mm']} mm: it cannot resolve finer structures.")
        trained = model["modality_dropout"]
        lines.append(
            f"Any of the four modalities may be missing: {trained:.0%} of the training patches lacked some."
            if trained
            else "It was trained only on complete scans: expect worse labels where a modality is missing."
        )
    return [*lines, "The model was not tested on tumours unlike those of the training cases."]


def _parameters(record: Record) -> tuple[list[str], Table | None]:
    if "parameters" not in record.facts:
        return [_unknown(record, "parameters")], None
    fact = record.facts["parameters"]
    rows = [
        [f"{section}.{key}", json.dumps(value), "the study" if key in fact["best"] else "params.yaml"]
        for section in SETTINGS
        for key, value in fact["used"].get(section, {}).items()
    ]
    return [], Table(("setting", "value", "from"), rows)


def lineage_table(record: Record) -> tuple[list[str], Table]:
    """The text and the table of section "Lineage"."""
    rows = [
        [_spaced(name), _describe(fact)] for name, fact in record.facts.items() if name not in NOT_IN_LINEAGE
    ]
    rows += [[_spaced(name), f"{UNKNOWN}: {why}"] for name, why in record.missing.items()]
    return ["Hashes of files and folders are DVC's MD5 unless another hash is named."], Table(
        ("fact", "value"), rows
    )


def _spaced(name: str) -> str:
    return name.replace("_", " ")


def _describe(fact: Mapping[str, Any] | None) -> str:
    """The value of a fact in one line."""
    if fact is None:
        return "none: tune.trials is 0"
    return "; ".join(
        f"{_spaced(key)}: {_format(value)}" for key, value in fact.items() if value not in (None, [])
    )


def _format(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{count} {_spaced(str(name))}" for name, count in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _reproducing(name: str, version: str) -> list[str]:
    return [
        f"In the project, `glioseg lineage models:/{name}/{version}` shows the present state of the lineage,"
        f" and `glioseg reproduce models:/{name}/{version}` checks out the commit and the data, evaluates"
        " again and compares the metrics; with `--retrain` it trains again first.",
        f"The files that these commands need are beside this card: {', '.join(RECORDED_FILES)}.",
    ]


def _unknown(record: Record, fact: str) -> str:
    return f"{UNKNOWN.capitalize()}: {record.missing.get(fact, 'nothing was recorded')}."

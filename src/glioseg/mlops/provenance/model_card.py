"""The model card (Mitchell et al. 2019): what a version is, what it is for, how good, and how it came to be.

Mitchell M, Wu S, Zaldivar A, et al.: Model Cards for Model Reporting. FAT* 2019.

It says what the version's own files tell, and of what they do not, why it is not known.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from glioseg.core.files import write_whole
from glioseg.core.labels import REGIONS
from glioseg.core.modalities import MODALITIES
from glioseg.mlops.provenance.collectors import KEPT, Record
from glioseg.models.inference.prediction import percent

PAGES = ("model_card.md", "model_card.html")
MEASURES = {"dice": "Dice", "hd95_mm": "HD95, mm", "lesion_dice": "Dice lesion by lesion"}
SETTINGS = ("network", "train", "inference", "crop", "split", "evaluate")
NOT_KNOWN = "not known"
UNTOLD = ("parameters", "model")  # they have sections of their own
SOURCES = {
    "phantom": "glioseg's built-in phantoms: synthetic brains with synthetic tumours. No patient is among"
    " them, and the numbers below say nothing about patients.",
    "folder": "a folder of the user's own scans. What scanners, sites and patients they come from is not"
    " recorded here.",
}
USE = (
    "Research on segmenting gliomas in MRI: it marks whole tumour (WT), tumour core (TC) and enhancing tumour"
    " (ET) in skull-stripped, co-registered scans as BraTS publishes them.",
    "Not for clinical use: it is no medical device, and must not guide the diagnosis or the treatment of a"
    " patient.",
)


@dataclass(frozen=True)
class Table:
    """A small table; every cell is text."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Section:
    """A part of the card: paragraphs, then a table."""

    title: str
    text: Sequence[str]
    table: Table | None = None


@dataclass(frozen=True)
class Card:
    """A model card; `summary` is its first paragraph, and what the registry shows."""

    title: str
    summary: str
    sections: Sequence[Section]

    def write(self, folder: Path) -> None:
        """Write it as Markdown and as an HTML page that needs no network."""
        loader = jinja2.PackageLoader("glioseg.mlops.provenance")
        pages = jinja2.Environment(
            loader=loader,
            autoescape=jinja2.select_autoescape(),
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        for page in PAGES:
            write_whole(folder / page, pages.get_template(page).render(card=self).encode())


def model_card(name: str, version: str, record: Record, folder: Path) -> Card:
    """Compose a version's card.

    Args:
        name: of the registered model.
        version: its number.
        record: what is known of how it came to be.
        folder: of the files kept with it.
    """
    metrics = _metrics(folder)
    sections = [
        Section("Training data", *_data(record)),
        Section("Intended use", USE),
        Section("Metrics", *_scores(metrics)),
        Section("Calibration", *_calibration(record, metrics)),
        Section("Limits", _limits(record)),
        Section("Lineage", *_lineage(record)),
        Section("To do it again", _again(name, version)),
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
        lines.append("Trained and tested on synthetic phantoms alone.")
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
    text = [f"It learned from {SOURCES[raw['source']]}", f"Label schemes: {', '.join(raw['schemes'])}."]
    return text, Table(("part", "cases"), rows)


def _scores(metrics: Mapping[str, Any] | None) -> tuple[list[str], Table | None]:
    if metrics is None:
        return [f"{NOT_KNOWN.capitalize()}: no metrics were kept with this version."], None
    rows = [[region, *(_interval(metrics[measure][region]) for measure in MEASURES)] for region in REGIONS]
    text = (
        f"Means over {metrics['cases']} test cases, which took no part in training or in choosing settings,"
        " each with the 95 % bootstrap interval of the mean over cases. With few cases an interval is"
        " narrower than it should be."
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
            f"{errors[region]['mean']:.4f}" if region in errors else NOT_KNOWN,
            f"{coverage[region]:.0%}" if region in coverage else "no interval" if tested else NOT_KNOWN,
        ]
        for region, old, new in zip(REGIONS, before, after, strict=True)
    ]
    text = (
        "Expected calibration error of each region's probabilities (Guo et al. 2017): on the validation cases"
        " before and after temperature scaling, and on the test cases; and how often a test case's true"
        f" volume lay in the {_level(tested)}interval that the model gives."
    )
    head = ("region", "validation, before", "validation, after", "test", "volume in its interval")
    return [text], Table(head, rows)


def _level(metrics: Mapping[str, Any]) -> str:
    """In front of the word "interval"; versions from before levels were measured have none."""
    level = metrics.get("volume_interval_level")
    return "" if level is None else f"{percent(level)} prediction "


def _limits(record: Record) -> list[str]:
    lines = [
        "Scans must be skull-stripped, co-registered, and of one grid, about 1 mm; other scans are refused."
    ]
    model = record.facts.get("model")
    if model:
        lines.append(f"The network works at {model['spacing_mm']} mm: it cannot see finer structures.")
        trained = model["modality_dropout"]
        lines.append(
            f"Of the four modalities any may be missing: {trained:.0%} of the training patches lacked some."
            if trained
            else "It was trained on complete scans alone: where a modality is missing, expect worse labels."
        )
    return [*lines, "Tumours unlike those of the training cases were never tried."]


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


def _lineage(record: Record) -> tuple[list[str], Table]:
    rows = [[_words(name), _identity(fact)] for name, fact in record.facts.items() if name not in UNTOLD]
    rows += [[_words(name), f"{NOT_KNOWN}: {why}"] for name, why in record.missing.items()]
    return ["Hashes of files and folders are DVC's (MD5) where nothing else is said."], Table(
        ("what", "which"), rows
    )


def _words(name: str) -> str:
    return name.replace("_", " ")


def _identity(fact: Mapping[str, Any] | None) -> str:
    """A fact in one line."""
    if fact is None:
        return "none was asked for"
    return "; ".join(
        f"{_words(key)}: {_flat(value)}" for key, value in fact.items() if value not in (None, [])
    )


def _flat(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{count} {_words(str(name))}" for name, count in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _again(name: str, version: str) -> list[str]:
    return [
        f"In the project: `glioseg lineage models:/{name}/{version}` shows the chain as it stands now;"
        f" `glioseg reproduce models:/{name}/{version}` checks out the commit and the data, evaluates again"
        " and compares; with `--retrain` it trains again first.",
        f"All files that this takes are beside this card: {', '.join(KEPT)}.",
    ]


def _unknown(record: Record, *facts: str) -> str:
    why: Iterable[str] = (record.missing[fact] for fact in facts if fact in record.missing)
    return f"{NOT_KNOWN.capitalize()}: {'; '.join(why) or 'nothing was recorded'}."

"""Write docs/phantoms-vs-real.md: `python -m bench.phantoms_vs_real CASES… [--phantoms 100]`.

It measures labelled real cases (`bench.case_measures`) and phantoms of each preset at 2 mm, where the
built-in model is trained. The tables of measures stay in `WORK`, named by the code of
the generator and of the measures. The page and its picture hold numbers only, no scans.
"""

import argparse
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

import bench.case_measures
import glioseg.data.phantom
from bench.case_measures import Measures, measure, quantile_of
from bench.options import HERE
from bench.report import table
from glioseg.compute import Cluster
from glioseg.core.fingerprint import sha256_bytes
from glioseg.core.modalities import SEGMENTATION
from glioseg.core.nifti import read_volume
from glioseg.data.cohort.cases import Case, read_images
from glioseg.data.cohort.ingest import labelled_cases
from glioseg.data.store.cropping import crop_and_normalise, crop_labels, downsample_image, downsample_labels
from glioseg.data.store.phantom_stream import PhantomStream, SyntheticCase
from glioseg.evaluation.per_case import dense_labels

PAGE, PICTURE = HERE.parent / "docs/phantoms-vs-real.md", HERE.parent / "docs/pictures/phantoms_vs_real.png"
WORK = HERE / "work/phantoms_vs_real"
SPACING_MM, SEED = 2, 5
PRESETS = ("typical", "domain_randomised")
ENDS = (0.02, 0.98)
"""Quantiles of the phantoms between which every real case should lie."""
BATCH = 50
"""Phantoms after which the table is written, so that a run that was stopped continues."""


@dataclass(frozen=True)
class Group:
    """Measures that one table shows.

    Attributes:
        holds: whether the group has a measure of this name.
        meaning: what the measures are, for the page.
    """

    holds: Callable[[str], bool]
    meaning: str


GROUPS = {
    "Volumes": Group(
        lambda name: name.endswith(", ml") or " / " in name,
        "WT, TC and ET are regions of BraTS; NCR (non-enhancing core), ED (oedema) and ET are its labels.",
    ),
    "Margins": Group(
        lambda name: "margin of" in name,
        "Step: mean signal up to 6 mm inside the margin, less that 2 to 6 mm outside. Share of the step: the"
        " part of it between 1 mm inside and 1 mm outside; the lower it is, the softer is the margin.",
    ),
    "Edge of the brain": Group(
        lambda name: "at the edge" in name,
        "The outermost 4 mm of the brain, away from the tumour: cortex, vessels, and dura that"
        " skull-stripping left.",
    ),
    "Texture": Group(
        lambda name: any(word in name for word in ("texture", "spread", "spectral")),
        "Texture: standard deviation in cubes of 6 mm, in the median over a tissue. Spread: 90th less 10th"
        " percentile of a tissue. Spectral slope: how steeply the power spectrum falls; 0 for white noise.",
    ),
    "Contrast": Group(
        lambda name: " − " in name,
        "Median of a tissue, less that of normal white or grey matter.",
    ),
    "Shape and position": Group(
        lambda name: True,
        "Components have at least 0.1 ml. Sphericity: 1 for a ball, less for ragged surfaces (Wadell 1935).",
    ),
}
"""Groups of measures; a measure belongs to the first that holds its name."""
WORST = 6
"""Number of measures that the page names as the worst."""

HEAD = """# Phantoms beside real scans

A network trained on phantoms finds in real scans what phantoms show. This page compares phantoms with
labelled real cases, to tell who changes the generator what phantoms still lack.
`python -m bench.phantoms_vs_real CASES…` measures both and writes the page; run it after each change.

- **Measured:** {real} labelled real cases (BraTS 2021 and 2023; Baid et al. 2021, CC BY 4.0),
  {counts},
  all at 2 mm, where the built-in model is trained. `bench/case_measures.py` defines each measure.
- **Intensities** are in standard deviations of the brain, after each image is normalised to mean 0. White and
  grey matter are classes of T1 (Otsu 1979), more than 6 mm from the tumour.
- **Inside** is a real value between the 2nd and the 98th percentile of the phantoms. If real scans were
  phantoms, 4 % would be outside. Wider is not always better: phantoms must also show what is frequent.
- **Not independent:** the ranges of `domain_randomised` were chosen with these real cases in view.

"""
LEGEND = """In the picture, each dot is a real case: at 0 it is below all phantoms, at 1 above all, and red
dots are outside. Ideal is a row without red whose dots spread from 0 to 1. Where dots crowd at one end, most
phantoms have more, or less, than real scans. In the tables, phantoms have 2nd percentile / median / 98th
percentile; the last column names the real cases outside `domain_randomised`, with their values."""
PICTURE_LINE = f"![Quantiles of the real cases among the phantoms](pictures/{PICTURE.name})"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.phantoms_vs_real", description=__doc__)
    parser.add_argument("cases", type=Path, nargs="+", help="folders of labelled real cases")
    parser.add_argument("--phantoms", type=int, default=100, help="number of phantoms of each preset")
    arguments = parser.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    real = real_table(labelled_cases(arguments.cases))
    phantoms = {preset: phantom_table(preset, arguments.phantoms) for preset in PRESETS}
    PAGE.write_text(page(real, phantoms))
    draw(real, phantoms).savefig(PICTURE, dpi=90)
    print(f"{PAGE} and {PICTURE} are written")


def real_table(cases: Sequence[Case]) -> pd.DataFrame:
    """The measures of real cases, one row each, by name."""
    path = WORK / f"real_{_code(Path(bench.case_measures.__file__))}.csv"
    names = [case.case for case in cases]
    if not path.exists() or list(pd.read_csv(path, index_col=0).index) != names:
        rows = Cluster().map(measure_real, cases, title="measure real cases")
        pd.DataFrame(rows, names).to_csv(path)
    return pd.read_csv(path, index_col=0)


def measure_real(case: Case) -> Measures:
    """The measures of a real case, downsampled to 2 mm as the store does it."""
    image, placement = crop_and_normalise(read_images(case), margin_vox=1)
    labels = crop_labels(dense_labels(read_volume(case.files[SEGMENTATION]), case.scheme), placement)
    return measure(downsample_image(image, SPACING_MM), downsample_labels(labels, SPACING_MM), SPACING_MM)


def phantom_table(preset: str, count: int) -> pd.DataFrame:
    """The measures of the first phantoms of a preset, one row each."""
    generator = Path(glioseg.data.phantom.__file__).parent.glob("*.py")
    path = WORK / f"{preset}_{_code(*generator, Path(bench.case_measures.__file__))}.csv"
    done = pd.read_csv(path, index_col=0) if path.exists() else pd.DataFrame()
    cases = PhantomStream(count, SEED, preset)[len(done) :]
    for start in range(0, len(cases), BATCH):
        batch = cases[start : start + BATCH]
        rows = Cluster().map(measure_phantom, batch, title=f"measure {preset} phantoms")
        done = pd.concat([done, pd.DataFrame(rows, [case.name for case in batch])])
        done.to_csv(path)
    return done[:count]


def _code(*files: Path) -> str:
    """A short hash of source files, in the name of a table."""
    return sha256_bytes(b"".join(file.read_bytes() for file in sorted(files)))[:12]


def measure_phantom(case: SyntheticCase) -> Measures:
    """The measures of a phantom, rendered at 2 mm as for training."""
    return measure(*case.open(SPACING_MM), SPACING_MM)


def page(real: pd.DataFrame, phantoms: dict[str, pd.DataFrame]) -> str:
    """The page: a summary, the picture, and a table for each group of measures."""
    counts = " and ".join(f"{len(drawn)} phantoms of `{preset}`" for preset, drawn in phantoms.items())
    lines = [HEAD.format(real=len(real), counts=counts) + verdict(real, phantoms[PRESETS[-1]]), ""]
    lines += [*table(summary(real, phantoms)), "", LEGEND, "", PICTURE_LINE, ""]
    for group, names in grouped(list(real)).items():
        rows = [
            _row(name, real[name], {key: drawn[name] for key, drawn in phantoms.items()}) for name in names
        ]
        lines += [f"## {group}", "", GROUPS[group].meaning, "", *table(rows), ""]
    return "\n".join(lines)


def verdict(real: pd.DataFrame, drawn: pd.DataFrame) -> str:
    """Sentences: how many of the real values are outside, and for which measures most cases are."""
    outside = pd.Series({name: len(outside_of(real[name], drawn[name])) for name in real})
    measured, total = real.notna().sum(), int(real.notna().to_numpy().sum())
    worst = outside[outside > 1].sort_values(ascending=False, kind="stable")[:WORST]
    names = ", ".join(f"*{name}* ({count} of {measured[name]})" for name, count in worst.items())
    share = f"{100 * outside.sum() / total:.1f} %"
    first = f"**{outside.sum()} of {total} values of real cases ({share}) are outside `{PRESETS[-1]}`.**"
    return textwrap.fill(f"{first} Measures with most cases outside: {names}." if names else first, 110)


def grouped(names: Sequence[str]) -> dict[str, list[str]]:
    """The names of measures by group.

    >>> grouped(["WT, ml", "T1: ED − white", "WT: sphericity"])
    {'Volumes': ['WT, ml'], 'Contrast': ['T1: ED − white'], 'Shape and position': ['WT: sphericity']}
    """
    groups: dict[str, list[str]] = {group: [] for group in GROUPS}
    for name in names:
        groups[next(group for group, kind in GROUPS.items() if kind.holds(name))].append(name)
    return {group: members for group, members in groups.items() if members}


def summary(real: pd.DataFrame, phantoms: dict[str, pd.DataFrame]) -> list[dict[str, object]]:
    """For each group, the share of the measured values of real cases inside `ENDS` of each preset."""
    rows: list[dict[str, object]] = []
    for group, names in (grouped(list(real)) | {"**all**": list(real)}).items():
        values = int(real[names].notna().to_numpy().sum())
        row: dict[str, object] = {"group": group, "measures": len(names), "values of real cases": values}
        for preset, drawn in phantoms.items():
            outside = sum(len(outside_of(real[name], drawn[name])) for name in names)
            row[f"inside `{preset}`"] = f"{100 * (1 - outside / values):.1f} %"
        rows.append(row)
    return rows


def outside_of(real: "pd.Series[float]", drawn: "pd.Series[float]") -> "pd.Series[float]":
    """The real values outside `ENDS` of the drawn ones; none if a drawn value is constant and equal."""
    low, high = np.nanquantile(drawn, ENDS)
    return real[real.notna() & ((real < low) | (real > high))]


def _row(name: str, real: "pd.Series[float]", phantoms: dict[str, "pd.Series[float]"]) -> dict[str, object]:
    row: dict[str, object] = {"measure": name}
    for preset, drawn in phantoms.items():
        row[f"`{preset}`"] = " / ".join(_number(q) for q in np.nanquantile(drawn, (ENDS[0], 0.5, ENDS[1])))
    row["real: least / median / most"] = " / ".join(_number(q) for q in np.nanquantile(real, (0, 0.5, 1)))
    outside = outside_of(real, phantoms[PRESETS[-1]])
    row["outside"] = ", ".join(f"{_short(case)} {_number(value)}" for case, value in outside.items())
    return row


def _short(case: object) -> str:
    return str(case).removeprefix("BraTS2021_").removeprefix("BraTS-")


def _number(value: float) -> str:
    """Three digits.

    >>> _number(236.3), _number(-0.314), _number(0.0)
    ('236', '−0.31', '0.00')
    """
    return f"{value:.{0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2}f}".replace("-", "−")


def draw(real: pd.DataFrame, phantoms: dict[str, pd.DataFrame]) -> plt.Figure:
    """For each measure, the quantiles of the real cases among the phantoms; a row for each group's name."""
    rows = [row for group, names in grouped(list(real)).items() for row in (group, *names)]
    figure, axes = plt.subplots(1, len(PRESETS), figsize=(11, 0.17 * len(rows) + 1), sharey=True)
    for axis, preset in zip(axes, PRESETS, strict=True):
        _draw_ranks(axis, rows, real, phantoms[preset])
        axis.set_title(preset, fontsize=10)
        axis.set_xlabel("share of the phantoms with a lower value", fontsize=9)
    axes[0].set_yticks(range(len(rows)), rows, fontsize=8)
    for label in axes[0].get_yticklabels():
        label.set_fontweight("bold" if label.get_text() in GROUPS else "normal")
    axes[0].set_ylim(len(rows) - 0.5, -0.5)
    figure.tight_layout()
    return figure


def _draw_ranks(axis: Axes, rows: Sequence[str], real: pd.DataFrame, drawn: pd.DataFrame) -> None:
    axis.axvspan(*ENDS, color="#e8f0e4")
    for row, name in ((row, name) for row, name in enumerate(rows) if name in real):
        ranks = np.array([quantile_of(value, drawn[name].to_numpy()) for value in real[name]])
        inside = (ranks >= ENDS[0]) & (ranks <= ENDS[1])
        for chosen, colour in ((inside, "#2f6f4f"), (~inside, "#d1495b")):
            axis.plot(ranks[chosen], np.full(chosen.sum(), row), "o", ms=3.5, color=colour, alpha=0.7)
    axis.set_xlim(-0.02, 1.02)
    axis.grid(axis="y", lw=0.3)


if __name__ == "__main__":
    main()

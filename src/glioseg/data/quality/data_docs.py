"""Data Docs for offline use: local styles and scripts, and an index with the findings and their pictures.

The pages of Great Expectations load Bootstrap, jQuery and icons from the internet, and a script loaded from
there draws the index, which is empty offline.
"""

import html
import io
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path

import numpy as np
from jaxtyping import Num, UInt8
from numpy.typing import NDArray
from PIL import Image

from glioseg.core.nifti import Volume, VolumeError, read_volume
from glioseg.data.cohort.unread import Unread
from glioseg.data.quality.expectations import Finding
from glioseg.data.quality.validation_report import ValidationReport

REMOTE = r"https?://"
BRAND = "static/logo.png"
REMOVED = (
    r"<script\b.*?</script>",
    r"<style\b.*?</style>",
    r"<footer\b.*?</footer>",
    r"<link\b[^>]*>",
    r"<title></title>",
)
"""Patterns of the parts of a page that load something, or that style what was loaded."""

HEAD = """<link rel="icon" href="{root}static/favicon.ico">
<link rel="stylesheet" href="{root}static/site.css">
<script src="{root}static/site.js" defer></script>
</head>"""

INDEX = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{stage} data: {outcome}</title>
{head}
<body><div class="container-fluid">
<h1>{stage} data: <span class="{outcome}">{outcome}</span></h1>
<p>{counts}</p>
<p><input class="filter" type="search" placeholder="Show only rows with ..." aria-label="Filter rows"></p>
{violations}{warnings}{notes}
<h4>Cases</h4>{cases}
<h4>Pages of Great Expectations</h4><ul>{links}</ul>
</div></body></html>
"""

PICTURES = "pictures"

MAX_PICTURES = 200
"""Maximum number of volumes to draw: a cohort with findings in every case would take hours."""

HEIGHT_PX = 96
WINDOW = (1, 99)
"""Percentiles of the voxels that are not 0, drawn as black and white."""

Pictures = Mapping[tuple[str, str], str]
"""The path of a picture in the pages, by case and role; empty if the volume cannot be drawn."""


def finish_site(folder: Path, report: ValidationReport, pictures: Pictures) -> None:
    """Rewrite the pages of Great Expectations for offline use, and write the index.

    Args:
        folder: folder of the pages.
        report: findings for the index.
        pictures: pictures of the volumes with findings.
    """
    pages = sorted(
        page for part in ("validations", "expectations") for page in (folder / part).rglob("*.html")
    )
    for page in pages:
        root = "../" * (len(page.relative_to(folder).parts) - 1)
        page.write_text(make_offline(page.read_text("utf-8"), root=root), "utf-8")
    _write_static(folder)
    index = _index(report, [page.relative_to(folder) for page in pages], pictures)
    (folder / "index.html").write_text(index, "utf-8")


def make_offline(page: str, *, root: str) -> str:
    """A page without remote parts, and with the local style.

    Args:
        page: HTML.
        root: the relative path from the page to the folder of the site, e.g. "../".
    """
    for pattern in REMOVED:
        page = re.sub(pattern, "", page, flags=re.DOTALL)
    page = re.sub(rf'src="{REMOTE}[^"]*"', f'src="{root}{BRAND}"', page)
    page = re.sub(rf'<a\b[^>]*href="{REMOTE}[^>]*>(.*?)</a>', r"\1", page, flags=re.DOTALL)
    return page.replace("</head>", HEAD.format(root=root), 1)


def _write_static(folder: Path) -> None:
    static, own = folder / "static", files("glioseg.data.quality") / "pages"
    kept = {name: (static / "images" / name).read_bytes() for name in ("logo-long.png", "favicon.ico")}
    shutil.rmtree(static)
    static.mkdir()
    (folder / BRAND).write_bytes(kept["logo-long.png"])
    (static / "favicon.ico").write_bytes(kept["favicon.ico"])
    for name in ("site.css", "site.js"):
        (static / name).write_bytes((own / name).read_bytes())


def _index(report: ValidationReport, pages: Iterable[Path], pictures: Pictures) -> str:
    statuses = list(report.cases.values())
    counts = ", ".join(f"{statuses.count(status)} {status}" for status in dict.fromkeys(statuses))
    cases = [
        (html.escape(case), f'<span class="{status}">{status.replace("_", " ")}</span>')
        for case, status in report.cases.items()
    ]
    return INDEX.format(
        stage=report.stage.capitalize(),
        outcome=report.outcome,
        head=HEAD.format(root=""),
        counts=f"{len(statuses)} cases: {counts}".replace("_", " "),
        links="".join(f'<li><a href="{page.as_posix()}">{_title(page)}</a></li>' for page in pages),
        violations=_findings("Violations", report.violations, pictures),
        warnings=_findings("Warnings", report.warnings, pictures),
        notes=_findings("Notes", report.notes, {}) + _unread(report.unread_files),
        cases=_table(("case", "status"), cases),
    )


def _title(page: Path) -> str:
    kind, suite = page.parts[0], Path(page.parts[1]).stem
    return f"{suite.replace('_', ' ')}: {'results' if kind == 'validations' else 'the expectations'}"


def _findings(title: str, findings: Sequence[Finding], pictures: Pictures) -> str:
    """A table of findings, with the picture of a volume beside its first finding."""
    if not findings:
        return ""
    left, rows = dict(pictures), []
    for f in findings:
        picture = left.pop((f.case, f.role), None)
        words = [html.escape(word) for word in (f.case, f.file, f.expectation, f.expected, f.observed)]
        rows.append([*words, _picture(picture, f)] if pictures else words)
    header = ["case", "file", "rule", "expected", "got", *(["picture"] if pictures else [])]
    return f"<h4>{title} ({len(findings)})</h4>{_table(header, rows)}"


def _unread(files: Sequence[Unread]) -> str:
    """A table of the user's files that belong to no case."""
    if not files:
        return ""
    rows = [[html.escape(str(item)), html.escape(item.reason)] for item in files]
    return f"<h4>Files that belong to no case ({len(files)})</h4>{_table(('file', 'reason'), rows)}"


def _picture(path: str | None, finding: Finding) -> str:
    if path is None:
        return ""
    if not path:
        return "cannot be drawn"
    return f'<img src="{path}" alt="Slices of {html.escape(finding.case)} {finding.role}" loading="lazy">'


def _table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table whose cells are HTML."""
    head = "".join(f"<th>{name}</th>" for name in header)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def draw_findings(
    files_of: Mapping[str, Mapping[str, Path]], report: ValidationReport, pages: Path
) -> Pictures:
    """Draw each volume with a violation or a warning.

    Args:
        files_of: the file of each role of each case.
        report: report with the findings.
        pages: folder of the pages, to which the pictures are written.
    """
    marked = dict.fromkeys((f.case, f.role) for f in (*report.violations, *report.warnings))
    drawn = [(case, role) for case, role in marked if role in files_of.get(case, {})][:MAX_PICTURES]
    (pages / PICTURES).mkdir()
    return {
        (case, role): _draw(files_of[case][role], pages, f"{PICTURES}/{number}.png")
        for number, (case, role) in enumerate(drawn)
    }


def _draw(file: Path, pages: Path, path: str) -> str:
    try:
        picture = thumbnail(read_volume(file))
    except VolumeError:
        return ""
    if picture is None:
        return ""
    content = io.BytesIO()
    Image.fromarray(picture).save(content, "PNG")
    (pages / path).write_bytes(content.getvalue())
    return path


def thumbnail(volume: Volume) -> UInt8[NDArray, "i j"] | None:
    """The axial, coronal and sagittal slices through the middle, side by side.

    Args:
        volume: an image or a label map.

    Returns:
        An array of 96 rows; None if the volume is empty or its voxels are not real numbers.
    """
    data, affine = volume.data, volume.grid.affine
    if not volume.is_numeric or data.size == 0:
        return None
    if np.isfinite(affine).all() and np.linalg.det(affine) != 0:
        data = volume.grid.to_lps(data)
    d, h, w = (side // 2 for side in data.shape)
    slices = [data[:, :, w].T, data[:, h, ::-1].T, data[d, :, ::-1].T]
    black, white = _window(data)
    return np.hstack([_to_grey(plane, black, white) for plane in slices])


def _window(data: Num[NDArray, "d h w"]) -> tuple[float, float]:
    sample = data[::2, ::2, ::2].ravel()
    brain = sample[np.isfinite(sample) & (sample != 0)]
    low, high = np.percentile(brain, WINDOW).tolist() if brain.size else (0.0, 1.0)
    return (min(low, 0.0), high) if high > min(low, 0.0) else (low - 1, low)


def _to_grey(plane: Num[NDArray, "i j"], black: float, white: float) -> UInt8[NDArray, "k l"]:
    shares = (np.nan_to_num(plane.astype(np.float64)) - black) / (white - black)
    grey = Image.fromarray((np.clip(shares, 0, 1) * 255).astype(np.uint8))
    width = max(1, round(HEIGHT_PX * plane.shape[1] / plane.shape[0]))
    return np.asarray(grey.resize((width, HEIGHT_PX)))

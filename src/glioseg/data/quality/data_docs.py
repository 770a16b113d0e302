"""Data Docs that open without a network: local styles and scripts, and an index with the violations.

Great Expectations' pages load Bootstrap, jQuery and icons from elsewhere, and its own index is drawn by
such a script: offline it is empty.
"""

import html
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path

from glioseg.data.quality.validation_report import Finding, Verdict

REMOTE = r"https?://"
BRAND = "static/logo.png"
CUTS = (
    r"<script\b.*?</script>",
    r"<style\b.*?</style>",
    r"<footer\b.*?</footer>",
    r"<link\b[^>]*>",
    r"<title></title>",
)
"""What is cut out of a page: all that fetches, or that styles what was fetched."""

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


def finish_site(folder: Path, verdict: Verdict, pictures: Mapping[tuple[str, str], str]) -> None:
    """Rewrite the pages that Great Expectations wrote, and put an index in front of them.

    Args:
        folder: the pages.
        verdict: what the index tells.
        pictures: of volumes, by case and role; nothing stands for one that cannot be drawn.
    """
    pages = sorted(
        page for part in ("validations", "expectations") for page in (folder / part).rglob("*.html")
    )
    for page in pages:
        root = "../" * (len(page.relative_to(folder).parts) - 1)
        page.write_text(localise(page.read_text("utf-8"), root=root), "utf-8")
    _write_static(folder)
    index = _index(verdict, [page.relative_to(folder) for page in pages], pictures)
    (folder / "index.html").write_text(index, "utf-8")


def localise(page: str, *, root: str) -> str:
    """Cut everything remote out of a page and put the local style in.

    Args:
        page: HTML.
        root: the way from the page to the site's folder, e.g. "../".
    """
    for cut in CUTS:
        page = re.sub(cut, "", page, flags=re.DOTALL)
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


def _index(verdict: Verdict, pages: Iterable[Path], pictures: Mapping[tuple[str, str], str]) -> str:
    statuses = list(verdict.cases.values())
    counts = ", ".join(f"{statuses.count(status)} {status}" for status in dict.fromkeys(statuses))
    cases = [
        (html.escape(case), f'<span class="{its}">{its.replace("_", " ")}</span>')
        for case, its in verdict.cases.items()
    ]
    return INDEX.format(
        stage=verdict.stage.capitalize(),
        outcome=verdict.outcome,
        head=HEAD.format(root=""),
        counts=f"{len(statuses)} cases: {counts}".replace("_", " "),
        links="".join(f'<li><a href="{page.as_posix()}">{_title(page)}</a></li>' for page in pages),
        violations=_findings("Violations", verdict.violations, pictures),
        warnings=_findings("Warnings", verdict.warnings, pictures),
        notes=_findings("Notes", verdict.notes, {}),
        cases=_table(("case", "status"), cases),
    )


def _title(page: Path) -> str:
    kind, suite = page.parts[0], Path(page.parts[1]).stem
    return f"{suite.replace('_', ' ')}: {'results' if kind == 'validations' else 'the expectations'}"


def _findings(title: str, findings: Sequence[Finding], pictures: Mapping[tuple[str, str], str]) -> str:
    """A table of findings; a volume's picture stands beside its first one."""
    if not findings:
        return ""
    left, rows = dict(pictures), []
    for f in findings:
        picture = left.pop((f.case, f.role), None)
        words = [html.escape(word) for word in (f.case, f.file, f.expectation, f.expected, f.observed)]
        rows.append([*words, _picture(picture, f)] if pictures else words)
    header = ["case", "file", "rule", "expected", "got", *(["picture"] if pictures else [])]
    return f"<h4>{title} ({len(findings)})</h4>{_table(header, rows)}"


def _picture(place: str | None, finding: Finding) -> str:
    if place is None:
        return ""
    if not place:
        return "cannot be drawn"
    return f'<img src="{place}" alt="Slices of {html.escape(finding.case)} {finding.role}" loading="lazy">'


def _table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table of cells that are HTML already."""
    head = "".join(f"<th>{name}</th>" for name in header)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

"""Hooks of MkDocs: links that leave docs/, and the generated reference.

On GitHub, a page of docs/ may link to any file of the repository. MkDocs knows only the files of docs/, so
the hooks add each linked file outside to the site, at `repository/`, and rewrite the links. Links to files
that do not exist remain, and strict mode reports them.
"""

import posixpath
import re
from collections.abc import Callable
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from reference_pages import commands, rules, settings

ROOT = Path(__file__).parents[2]
OUTSIDE = "repository"
PROJECT_PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")
LINK = re.compile(r"(\]\(|\b(?:src|href)=\")(?![a-z]+:|#)([^)\s#\"]+)")
GENERATED: dict[str, Callable[[], str]] = {"commands": commands, "settings": settings, "rules": rules}
MARKER = re.compile(r"^\*`make docs` inserts the (\w+) here\.\*$", re.MULTILINE)


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the pages of the project, and all files outside docs/ to which any page links."""
    waiting = [f"docs/{file.src_uri}" for file in files.documentation_pages()] + list(PROJECT_PAGES)
    seen = set(waiting)
    while waiting:
        path = waiting.pop()
        if not path.startswith("docs/"):
            files.append(File.generated(config, to_site(path), abs_src_path=str(ROOT / path)))
        if path.endswith(".md"):
            new = {_target(path, link) for _, link in LINK.findall((ROOT / path).read_text())} - seen
            waiting += sorted(target for target in new if _is_outside(target))
            seen |= new
    return files


def _is_outside(path: str) -> bool:
    return not path.startswith(("docs/", "..")) and (ROOT / path).is_file()


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Insert the generated reference, and point links out of docs/ to the copies on the site.

    The reference comes first among the results of a search.
    """
    if page.file.src_uri.startswith("reference/"):
        page.meta["search"] = {"boost": 4}
    text = MARKER.sub(lambda match: GENERATED[match[1]](), markdown)
    return LINK.sub(lambda match: match[1] + _rewritten(match[2], page.file.src_uri), text)


def _rewritten(link: str, page: str) -> str:
    """A link on a page of the site, for a link as it is in the repository."""
    here = to_repository(page)
    target = to_site(_target(here, link))
    return posixpath.relpath(target, posixpath.dirname(page)) if target != _target(page, link) else link


def _target(path: str, link: str) -> str:
    """The path to which a link in a file of the repository points; for a folder, its first page."""
    target = posixpath.normpath(posixpath.join(posixpath.dirname(path), link))
    first_pages = [f"{target}/{name}" for name in ("README.md", "index.md")]
    return next((page for page in first_pages if (ROOT / page).is_file()), target)


def to_site(path: str) -> str:
    """Where a file of the repository is on the site.

    >>> to_site("docs/dvc.md"), to_site("bench/RESULTS.md")
    ('dvc.md', 'repository/bench/RESULTS.md')
    """
    return path.removeprefix("docs/") if path.startswith("docs/") else f"{OUTSIDE}/{path}"


def to_repository(page: str) -> str:
    """The file of the repository that a page of the site shows.

    >>> to_repository("dvc.md"), to_repository("repository/bench/RESULTS.md")
    ('docs/dvc.md', 'bench/RESULTS.md')
    """
    return page.removeprefix(f"{OUTSIDE}/") if page.startswith(f"{OUTSIDE}/") else f"docs/{page}"

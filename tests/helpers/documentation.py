"""The documentation as a site, built as `make docs` builds it."""

from pathlib import Path

from mkdocs.commands.build import build
from mkdocs.config import load_config

from tests.helpers.projects import ROOT


def build_site(folder: Path) -> Path:
    """Build the site into a folder.

    Raises:
        mkdocs.exceptions.Abort: a warning, such as a link to nowhere.
    """
    build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(folder)))
    return folder

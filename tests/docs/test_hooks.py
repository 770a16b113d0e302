"""The documentation builds without a warning, needs no network, and holds what it links to outside docs/."""

import re
from types import SimpleNamespace

import hooks
import pytest
from mkdocs.commands.build import build
from mkdocs.config import load_config
from mkdocs.exceptions import Abort

from tests.helpers.documentation import build_site
from tests.helpers.projects import ROOT


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return build_site(tmp_path_factory.mktemp("site"))


def test_every_document_is_a_page(site):
    documents = [path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md")]
    pages = [
        path.with_name("index.html") if path.stem == "README" else path.with_suffix(".html")
        for path in documents
    ]
    assert [str(page) for page in pages if not (site / page).is_file()] == []
    assert len(pages) > 45


def test_no_page_loads_anything_from_the_network(site):
    loaded = r"<(?:script|img|iframe|source)\b[^>]*\bsrc=\"(?:https?:)?//|<link\b[^>]*\bhref=\"(?:https?:)?//"
    assert [str(page) for page in site.rglob("*.html") if re.search(loaded, page.read_text())] == []
    assert [
        str(page) for page in site.rglob("*.css") if re.search(r"url\([\"']?(https?:)?//", page.read_text())
    ] == []


@pytest.mark.parametrize(
    ("page", "link"),
    [
        ("scale.html", "repository/bench/RESULTS.html"),
        (
            "decisions/0024-confidence-from-real-cases.html",
            "../repository/src/glioseg/models/builtin/model/card.html",
        ),
        ("repository/README.html", "../contract.html#the-patients-of-the-cases"),
        ("reference/cli.html", "../clusters.html"),
    ],
)
def test_links_out_of_docs_and_into_it_are_rewritten(site, page, link):
    page = page.replace("README", "index")
    assert f'href="{link}"' in (site / page).read_text()
    assert (site / page).parent.joinpath(link.partition("#")[0]).is_file()


@pytest.mark.parametrize(
    ("page", "text", "expected"),
    [
        ("repository/README.md", "[all](docs/dvc.md#go-back)", "[all](../dvc.md#go-back)"),
        ("repository/README.md", '<img src="docs/pictures/gate.png">', '<img src="../pictures/gate.png">'),
        ("repository/README.md", "[decisions](docs/decisions)", "[decisions](../decisions/README.md)"),
        ("repository/README.md", "[docs](docs/)", "[docs](../index.md)"),
        ("dvc.md", "[settings](../params.yaml)", "[settings](repository/params.yaml)"),
        ("dvc.md", "[a](lineage.md) [b](https://a.org/x.md) [c](#go-back)", None),
    ],
)
def test_a_link_points_to_the_same_file_on_the_site(page, text, expected):
    shown = SimpleNamespace(file=SimpleNamespace(src_uri=page))
    assert hooks.on_page_markdown(text, page=shown, config=None, files=None) == (expected or text)


def test_search_knows_the_generated_reference(site):
    found = (site / "search" / "search_index.json").read_text()
    assert "labels_outside_brain" in found
    assert "--max-upload-mb" in found
    assert "inserts the" not in "".join(page.read_text() for page in (site / "reference").glob("*.html"))


@pytest.mark.parametrize(
    "text", ["[a page](none.md)", "[a heading](#none)", "[a heading](two.md#none)", "![a picture](none.png)"]
)
def test_a_link_to_nowhere_fails(tmp_path, text):
    (tmp_path / "docs").mkdir()
    for name, content in (("one.md", text), ("two.md", "# Two")):
        (tmp_path / "docs" / name).write_text(content)
    config = load_config(
        str(ROOT / "mkdocs.yml"), docs_dir=str(tmp_path / "docs"), site_dir=str(tmp_path / "site")
    )
    config.nav, config.plugins, config.extra_css = None, type(config.plugins)(), []
    with pytest.raises(Abort):
        build(config)
    (tmp_path / "docs" / "one.md").write_text("[a heading](two.md#two)")
    build(config)

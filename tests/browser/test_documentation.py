"""The documentation in a browser, opened as files: its search works, and nothing is loaded from a network."""

from tests.helpers.documentation import build_site


def test_the_search_finds_a_setting_without_a_server(visit, tmp_path, shoot):
    page = visit(viewport={"width": 1300, "height": 900})
    requested = []
    page.on("request", lambda request: requested.append(request.url))
    page.goto((build_site(tmp_path) / "index.html").as_uri())
    page.get_by_role("textbox", name="Search").fill("validation_fraction")
    result = page.locator(".md-search-result__link").first
    result.wait_for()
    shoot(page, "documentation_search.png")
    result.click()
    page.wait_for_url(f"{(tmp_path / 'reference' / 'params.html').as_uri()}**")
    assert [url for url in requested if not url.startswith(("file:", "data:", "blob:"))] == []

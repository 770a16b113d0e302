import pytest


@pytest.fixture
def report(tmp_path):
    """The files of a report: a table, and a picture in a folder."""
    (tmp_path / "reports" / "pictures" / "a").mkdir(parents=True)
    (tmp_path / "reports" / "pictures" / "a" / "x.png").write_bytes(b"png")
    (tmp_path / "reports" / "per_case.csv").write_text("case\n")
    return [tmp_path / "reports" / "per_case.csv", tmp_path / "reports" / "pictures" / "a"]

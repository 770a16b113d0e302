"""Every test that docs/tried.md names exists."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
NAMED = re.findall(r"`(tests/[^`:]+\.py)(?:::(\w+))?", (ROOT / "docs" / "tried.md").read_text())


def test_each_row_names_tests_that_exist():
    rows = [line for line in (ROOT / "docs" / "tried.md").read_text().splitlines() if line.startswith("| ")]
    unnamed = [
        row for row in rows if "tests/" not in row and not row.startswith("| input |") and "drill" not in row
    ]
    assert unnamed == []
    missing = [
        (file, name)
        for file, name in NAMED
        if not (ROOT / file).is_file() or (name and f"def {name}(" not in (ROOT / file).read_text())
    ]
    assert missing == []
    assert len(NAMED) >= 80

"""For every kind of broken input, a line names the file, and the good cases are processed."""

from pathlib import Path

import pytest

from tests.drills.drill import KINDS, differences, drill
from tests.drills.kinds import Kind
from tests.helpers.progress import PROGRESS


@pytest.mark.parametrize("kind", KINDS, ids=[kind.name for kind in KINDS])
def test_kind(kind: Kind, tmp_path: Path) -> None:
    assert differences(kind, drill(kind, tmp_path)) == []


def test_with_on_failure_stop_the_pipeline_ends_at_validation_with_the_same_line(tmp_path: Path) -> None:
    (kind,) = (kind for kind in KINDS if kind.name == "truncated gzip")
    outcome = drill(kind, tmp_path, on_failure="stop")
    *lines, last = (line for line in outcome.errors if not PROGRESS.fullmatch(line))
    assert (outcome.code, outcome.stage, outcome.processed) == (1, "validate", set())
    assert [line for line in lines if kind.message not in line] == []
    assert last == "validate.py: 1 of 4 cases refused; read reports/data_docs/raw/index.html"
    assert not (tmp_path / "data/cropped").exists()


def test_there_are_at_least_forty_kinds_with_distinct_names() -> None:
    assert len({kind.name for kind in KINDS}) == len(KINDS) >= 40

"""Every kind of broken input: the file is named in a clear line, and the good cases are processed."""

from pathlib import Path

import pytest

from tests.drills.broken import KINDS
from tests.drills.drill import drill, faults
from tests.drills.kinds import Kind


@pytest.mark.parametrize("kind", KINDS, ids=[kind.name for kind in KINDS])
def test_kind(kind: Kind, tmp_path: Path) -> None:
    assert faults(kind, drill(kind, tmp_path)) == []


def test_told_to_stop_the_pipeline_ends_at_the_contract_with_the_same_line(tmp_path: Path) -> None:
    (kind,) = (kind for kind in KINDS if kind.name == "truncated gzip")
    outcome = drill(kind, tmp_path, on_failure="stop")
    *lines, last = outcome.errors
    assert (outcome.code, outcome.stage, outcome.processed) == (1, "validate", set())
    assert [line for line in lines if kind.says not in line] == []
    assert last == "validate.py: 1 of 4 cases refused; read reports/data_docs/raw/index.html"
    assert not (tmp_path / "data/cropped").exists()


def test_kinds_are_forty_and_more_and_each_has_a_name_of_its_own() -> None:
    assert len({kind.name for kind in KINDS}) == len(KINDS) >= 40

"""Stage acquire warns of a cohort that a later stage cannot split."""

from pathlib import Path

import pytest
import yaml

from acquire import warn_of_small_cohort
from tests.helpers.projects import ROOT


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ""),  # of 11 patients 2 for tests and 1 for validation leave 8 for 5 folds
        ({"folds": 9}, "split.folds: expected at most 8, the labelled patients of training, got 9"),
        (
            {"test_fraction": 0.9, "validation_fraction": 0.09},
            "split: expected a patient in each part, got 10 for test_fraction 0.9, 1 for validation_fraction"
            " 0.09 and 0 to train on, of 11 labelled patients",
        ),
    ],
)
def test_a_cohort_that_cannot_be_split_is_named_at_once(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, float],
    expected: str,
) -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["split"] |= {"test_fraction": 0.2, "validation_fraction": 0.1, "folds": 5} | changes
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    monkeypatch.chdir(tmp_path)
    warn_of_small_cohort(11)
    line = f"acquire: warning: with this cohort stage split will stop: {expected}\n"
    assert capsys.readouterr().out == (line if expected else "")

"""Stage split respects patients, near-duplicates of rejected cases, and what the built-in model has seen."""

import json
from pathlib import Path

import pandas as pd
import pytest
import yaml

import split
from _stage import run
from glioseg.core.labels import LabelScheme
from glioseg.data.cohort.cases import Case, write_cohort
from glioseg.models.builtin import training_images

ROOT = Path(__file__).parents[2]
NAMES = [f"BraTS-GLI-{number:05}-000" for number in range(8)]
REFUSED = "BraTS-GLI-00000-001"
"""Another visit of the first patient; its scan is like one of the second patient."""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    cases = [Case(name, {}, LabelScheme.BRATS2023) for name in (*NAMES, REFUSED)]
    for folder in ("data/raw", "data/cropped", "reports/validation"):
        Path(folder).mkdir(parents=True)
    write_cohort(Path("data/raw/cohort.csv"), cases)
    Path("reports/validation/raw.json").write_text(
        json.dumps({"near_duplicates": [[NAMES[1], REFUSED]], "volumes": []})
    )
    patients = [case.patient for case in cases[:-1]]
    manifest = pd.DataFrame({"case": NAMES, "patient": patients, "grade": "HGG", "ncr_vox": range(8)})
    manifest.assign(ed_vox=1, et_vox=1).to_csv("data/cropped/manifest.csv", index=False)
    return tmp_path


def configure(**changes: float) -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["split"] |= changes
    Path("params.yaml").write_text(yaml.safe_dump(params))


def test_a_rejected_near_duplicate_keeps_two_patients_together(project: Path) -> None:
    for seed in range(20):
        configure(seed=seed)
        split.main()
        splits = json.loads(Path("data/splits.json").read_text())
        for part in ("train", "validation", "test"):
            assert (NAMES[0] in splits[part]) == (NAMES[1] in splits[part])


def validated(*, seen: list[str]) -> None:
    """Write a validation report; the T1ce of the cases in `seen` is an image of the built-in's training."""
    image = next(iter(training_images()))
    rows = [
        {
            "case": name,
            "role": role,
            "voxels_sha256": image if (name, role) in {(s, "t1ce") for s in seen} else None,
        }
        for name in NAMES
        for role in ("t1ce", "seg")
    ]
    report = {"near_duplicates": [], "volumes": rows}
    Path("reports/validation/raw.json").write_text(json.dumps(report))


def test_cases_that_trained_the_builtin_model_are_for_training(project: Path, capsys) -> None:
    seen = NAMES[:5]
    validated(seen=seen)
    for seed in range(20):
        configure(seed=seed, test_fraction=0.25, validation_fraction=0.1, folds=3)
        split.main()
        splits = json.loads(Path("data/splits.json").read_text())
        assert set(seen) <= set(splits["train"])
    assert "built-in" not in capsys.readouterr().out


def test_a_cohort_that_the_builtin_model_has_seen_is_split_with_a_warning(project: Path, capsys) -> None:
    validated(seen=NAMES)
    configure(seed=0, test_fraction=0.25, validation_fraction=0.1, folds=3)
    split.main()
    splits = json.loads(Path("data/splits.json").read_text())
    assert len(splits["test"]) == 2
    assert (
        "split: 2 of 2 test cases are training cases of the built-in model, so its Dice on them, and that of"
        f" models that start from it, is too high: {', '.join(splits['test'])}"
    ) in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"test_fraction": 0.6, "validation_fraction": 0.5},
            "params.yaml: split: expected test_fraction + validation_fraction below 1, the rest is to"
            " train on, got 0.6 + 0.5",
        ),
        (
            {"test_fraction": 0.5, "validation_fraction": 0.45},
            "split: expected a patient in each part, got 4 for test_fraction 0.5, 3 for validation_fraction"
            " 0.45 and 0 to train on, of 7 labelled patients, counting those with nearly the same scan as"
            " one",
        ),
        (
            {"folds": 7},
            "split.folds: expected at most 5, the labelled patients of training, counting those with nearly"
            " the same scan as one, got 7",
        ),
    ],
)
def test_an_impossible_split_is_one_line(project: Path, changes: dict[str, float], message: str) -> None:
    configure(**changes)
    with pytest.raises(SystemExit) as stopped:
        run(split.main)
    assert str(stopped.value.code).endswith(f": {message}")
    assert not Path("data/splits.json").exists()

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glioseg.data.splits import SplitError, check_leakage, split_cases

SETTINGS = {"test_fraction": 0.2, "validation_fraction": 0.1, "folds": 3}


def manifest_of(patients, grades=("HGG", "LGG"), visits=1):
    rows = [
        {
            "case": f"p{i:03}-{visit}",
            "patient": f"p{i:03}",
            "grade": grades[i % len(grades)],
            "ncr_vox": i,
            "ed_vox": 10 * i,
            "et_vox": 0,
        }
        for i in range(patients)
        for visit in range(visits)
    ]
    return pd.DataFrame(rows)


@given(st.integers(3, 40), st.integers(1, 3), st.integers(0, 99))
def test_every_case_is_in_one_part_and_patients_stay_together(patients, visits, seed):
    manifest = manifest_of(patients, visits=visits)
    splits = split_cases(manifest, seed=seed, **SETTINGS)
    parts = [splits["train"], splits["validation"], splits["test"]]
    assert sorted(case for part in parts for case in part) == sorted(manifest["case"])
    owners = [{case.split("-")[0] for case in part} for part in parts]
    assert all(owners)
    assert not (owners[0] & owners[1] | owners[0] & owners[2] | owners[1] & owners[2])
    for fold in splits["folds"]:
        assert sorted(fold["train"] + fold["validation"]) == sorted(parts[0] + parts[1])


def test_grades_are_shared_out_evenly():
    splits = split_cases(manifest_of(100, grades=("HGG", "HGG", "HGG", "LGG")), seed=1, **SETTINGS)
    low = sum(int(case[1:4]) % 4 == 3 for case in splits["test"])
    assert len(splits["test"]) == 20
    assert 4 <= low <= 6  # 25 of 100 are LGG: 5 of 20, give or take one by rounding in each stratum


def test_same_seed_same_split():
    manifest = manifest_of(30)
    assert split_cases(manifest, seed=5, **SETTINGS) == split_cases(manifest, seed=5, **SETTINGS)
    assert split_cases(manifest, seed=5, **SETTINGS) != split_cases(manifest, seed=6, **SETTINGS)


def test_unknown_grade_is_a_stratum_of_its_own():
    manifest = manifest_of(10, grades=(None,))
    assert len(split_cases(manifest, seed=0, **SETTINGS)["test"]) == 2


def test_too_few_patients():
    with pytest.raises(SplitError, match="expected at least 3 labelled patients, got 2"):
        split_cases(manifest_of(2, visits=5), seed=0, **SETTINGS)


def test_leakage_is_an_error_that_names_the_patient():
    splits = {"seed": 0, "train": ["a-0"], "validation": ["a-1"], "test": ["b-0"], "folds": []}
    with pytest.raises(SplitError, match="a-1: patient a is in train and in validation"):
        check_leakage(splits, {"a-0": "a", "a-1": "a", "b-0": "b"})
    splits["validation"] = []
    splits["folds"] = [{"train": ["b-0"], "validation": ["a-0"]}]
    with pytest.raises(SplitError, match="b-0: patient b is in train and in test"):
        check_leakage(splits, {"a-0": "a", "b-0": "b"})

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glioseg.data.cohort.splits import SplitError, check_leakage, split_cases

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


@given(st.integers(5, 40), st.integers(1, 3), st.integers(0, 99))
def test_every_case_is_in_one_part_and_patients_stay_together(patients, visits, seed):
    manifest = manifest_of(patients, visits=visits)
    splits = split_cases(manifest, seed=seed, **SETTINGS)
    parts = [splits["train"], splits["validation"], splits["test"]]
    assert sorted(case for part in parts for case in part) == sorted(manifest["case"])
    owners = [{case.split("-")[0] for case in part} for part in parts]
    assert all(owners)
    assert len(splits["folds"]) == 3
    assert not (owners[0] & owners[1] | owners[0] & owners[2] | owners[1] & owners[2])
    for fold in splits["folds"]:
        assert fold["train"]
        assert fold["validation"]
        assert sorted(fold["train"] + fold["validation"]) == parts[0]


@given(st.integers(9, 30), st.integers(1, 2), st.integers(0, 99), st.data())
def test_patients_with_nearly_the_same_scan_are_never_in_two_parts(patients, visits, seed, data):
    manifest = manifest_of(patients, visits=visits)
    patients = {case: case.split("-")[0] for case in manifest["case"]}
    # Refused cases: another visit of the first patient, and the only visit of another patient.
    patients |= {"p000-9": "p000", "refused": "refused"}
    pairs = data.draw(st.lists(st.tuples(*[st.sampled_from(sorted(patients))] * 2), max_size=4))
    splits = split_cases(manifest, seed=seed, near_duplicates=pairs, patients=patients, **SETTINGS)
    parts = [[splits[part] for part in ("train", "validation", "test")]]
    others = [splits["validation"], splits["test"]]
    parts += [[fold["train"], fold["validation"], *others] for fold in splits["folds"]]
    for some in parts:
        assert sorted(case for part in some for case in part) == sorted(manifest["case"])
        home = {case: number for number, part in enumerate(some) for case in part}
        for start in home:
            assert {home[case] for case in connected(start, pairs, patients) & home.keys()} == {home[start]}


def connected(start, pairs, patients):
    """All cases connected to one by pairs and patients, step by step."""
    found, grown = set(), {start}
    while found != grown:
        found = grown
        near = {case for pair in pairs if set(pair) & found for case in pair} | found
        grown = near | {case for case in patients if patients[case] in {patients[one] for one in near}}
    return found


def test_near_duplicates_of_other_patients_do_not_change_the_split():
    manifest = manifest_of(30)
    others = {"near_duplicates": [("a", "b")], "patients": {"a": "a", "b": "b"}}
    assert split_cases(manifest, seed=5, **others, **SETTINGS) == split_cases(manifest, seed=5, **SETTINGS)


def test_patients_with_nearly_the_same_scan_count_as_one():
    message = "of 2 labelled patients, counting those with nearly the same scan as one"
    with pytest.raises(SplitError, match=message):
        split_cases(manifest_of(3), seed=0, near_duplicates=[("p000-0", "p002-0")], **SETTINGS)


def test_grades_are_balanced():
    splits = split_cases(manifest_of(100, grades=("HGG", "HGG", "HGG", "LGG")), seed=1, **SETTINGS)
    low = sum(int(case[1:4]) % 4 == 3 for case in splits["test"])
    assert len(splits["test"]) == 20
    assert 4 <= low <= 6  # 25 of 100 are LGG: 5 of 20, give or take one by rounding in each stratum


def test_same_seed_same_split():
    manifest = manifest_of(30)
    assert split_cases(manifest, seed=5, **SETTINGS) == split_cases(manifest, seed=5, **SETTINGS)
    assert split_cases(manifest, seed=5, **SETTINGS) != split_cases(manifest, seed=6, **SETTINGS)


def test_an_unknown_grade_is_a_separate_stratum():
    manifest = manifest_of(10, grades=(None,))
    assert len(split_cases(manifest, seed=0, **SETTINGS)["test"]) == 2


def test_too_few_patients():
    message = (
        "^split: expected a patient in each part, got 1 for test_fraction 0.2, 1 for validation_fraction 0.1"
        " and 0 to train on, of 2 labelled patients$"
    )
    with pytest.raises(SplitError, match=message):
        split_cases(manifest_of(2, visits=5), seed=0, **SETTINGS)


def test_more_folds_than_patients():
    message = "^split.folds: expected at most 2, the labelled patients of training, got 4$"
    with pytest.raises(SplitError, match=message):
        split_cases(manifest_of(4, visits=5), seed=0, **SETTINGS | {"folds": 4})


def test_fractions_that_leave_no_training_patient():
    settings = {"seed": 0, "test_fraction": 0.5, "validation_fraction": 0.45, "folds": 2}
    # Of 6 patients 3 and 2.7 → 3; of 5 patients 2.5 → 2 and 2.25 → 2, which leaves one: too few for folds.
    message = "got 3 for test_fraction 0.5, 3 for validation_fraction 0.45 and 0 to train on, of 6 labelled"
    with pytest.raises(SplitError, match=message):
        split_cases(manifest_of(6), **settings)
    with pytest.raises(SplitError, match=r"split\.folds: expected at most 1"):
        split_cases(manifest_of(5), **settings)


def test_leakage_is_an_error_that_names_the_patient():
    splits = {"seed": 0, "train": ["a-0"], "validation": ["a-1"], "test": ["b-0"], "folds": []}
    with pytest.raises(SplitError, match="a-1: patient a is in train and in validation"):
        check_leakage(splits, {"a-0": "a", "a-1": "a", "b-0": "b"})
    splits["validation"] = []
    splits["folds"] = [{"train": ["b-0"], "validation": ["a-0"]}]
    with pytest.raises(SplitError, match="b-0: patient b is in a fold's train and in test"):
        check_leakage(splits, {"a-0": "a", "b-0": "b"})


def test_a_fold_with_a_patient_of_the_validation_part_is_leakage():
    """Its network would train on cases that calibrate the ensemble."""
    splits = {"seed": 0, "train": ["a-0"], "validation": ["c-0"], "test": ["b-0"]}
    splits["folds"] = [{"train": ["a-0"], "validation": ["c-1"]}]
    with pytest.raises(SplitError, match="c-0: patient c is in a fold's validation and in validation"):
        check_leakage(splits, {"a-0": "a", "b-0": "b", "c-0": "c", "c-1": "c"})


@given(st.integers(10, 30), st.integers(1, 2), st.integers(0, 99))
def test_cases_for_training_only_are_in_other_parts_only_if_others_do_not_suffice(patients, visits, seed):
    manifest = manifest_of(patients, visits=visits)
    plain = split_cases(manifest, seed=seed, **SETTINGS)
    wanted = len(plain["validation"]) + len(plain["test"])
    cases = sorted(manifest["case"])
    for others in range(0, patients, 3):  # patients without such a case
        bound = [case for case in cases[others * visits :] if case.endswith("-0")]
        splits = split_cases(manifest, seed=seed, training_only=bound, **SETTINGS)
        assert [len(splits[part]) for part in ("train", "validation", "test")] == [
            len(plain[part]) for part in ("train", "validation", "test")
        ]
        free = [case for case in splits["validation"] + splits["test"] if int(case[1:4]) < others]
        assert len(free) == min(others * visits, wanted)
    assert split_cases(manifest, seed=seed, training_only=cases, **SETTINGS) == plain

"""Training on real cases: every case is left out by one fold, and the last network is trained on all."""

import pytest

from glioseg.mlops.pretraining.real_cases import crop_real_cases, train_on_real_cases
from glioseg.models.training import cross_validation


def test_each_fold_leaves_out_large_and_small_tumours(
    plan, package, real_folder, shared_storage, monkeypatch
):
    cohort = crop_real_cases([real_folder], plan, shared_storage)
    assert [case.case for case in cohort.cases] == [f"Case_{n}" for n in (4, 3, 2, 1, 0)]
    assert cohort.folds == (0, 1, 0, 1, 0)
    asked = []

    def record(splits, *, train, init, **options):
        asked.extend(splits)
        assert (train.monitor, train.phantom_share, init) == ("last", 0.5, package / "synthetic/model.keras")
        raise KeyboardInterrupt

    monkeypatch.setattr(cross_validation, "fit_splits", record)
    with pytest.raises(KeyboardInterrupt):
        train_on_real_cases(plan, cohort, shared_storage, start=package / "synthetic/model.keras")
    names = [
        ([case.name for case in split.cases], [case.name for case in split.validation]) for split in asked
    ]
    left_out = [["Case_4", "Case_2", "Case_0"], ["Case_3", "Case_1"]]
    assert names[:2] == [(left_out[1], left_out[0]), (left_out[0], left_out[1])]
    assert names[2] == ([f"Case_{n}" for n in (4, 3, 2, 1, 0)],) * 2

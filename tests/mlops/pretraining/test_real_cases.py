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

    def record(splits, *, train, **options):
        asked.extend(splits)
        assert (train.monitor, train.phantom_share) == ("last", 0.5)
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
    assert [split.init for split in asked] == [package / "synthetic/model.keras"] * 3


def test_each_network_starts_from_the_phase_before_on_the_same_cases(
    plan, phases, real_folder, shared_storage, monkeypatch
):
    """So a case that a fold leaves out is left out of every phase of its network."""
    cohort = crop_real_cases([real_folder], plan, shared_storage)
    start = phases.weights
    first = plan.model_copy(update={"real": plan.real.model_copy(update={"phases": plan.real.phases[:1]})})
    before = train_on_real_cases(first, cohort, shared_storage, start=start)
    fit_splits, asked = cross_validation.fit_splits, []

    def record(splits, **options):
        asked.append([(split.init, [case.name for case in split.cases]) for split in splits])
        return fit_splits(splits, **options)

    monkeypatch.setattr(cross_validation, "fit_splits", record)
    done = train_on_real_cases(plan, cohort, shared_storage, start=start)
    folds = before.folder / "folds"
    assert asked == [
        [
            (folds / "model.keras", ["Case_3", "Case_1"]),
            (folds / "model_1.keras", ["Case_4", "Case_2", "Case_0"]),
            (before.folder / "model.keras", [f"Case_{n}" for n in (4, 3, 2, 1, 0)]),
        ]
    ]
    assert done.history["phase"].tolist() == [1] * 3 + [2] * 3
    assert len(done.origins) == 2
    assert train_on_real_cases(plan, cohort, shared_storage, start=start).folder == done.folder
    assert len(asked) == 1

"""Training on real cases: every case is left out by one fold, and the last network is trained on all."""

import pandas as pd
import pytest

from glioseg.mlops.pretraining.real_cases import crop_real_cases, train_on_real_cases
from glioseg.models.networks.keras_file import load_network
from glioseg.models.training import cross_validation
from glioseg.models.training.cross_validation import TrainedNetworks


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
    asked = []

    def trained(splits, **options):
        """Networks that are as they were at the start."""
        asked.append([(split.init, [case.name for case in split.cases]) for split in splits])
        history = pd.DataFrame({"fold": range(3), "epoch": 0, "loss": 0.1, "val_loss": 0.1, "val_dice": 0.5})
        return TrainedNetworks([load_network(split.init) for split in splits], history, [0.5] * 3)

    monkeypatch.setattr(cross_validation, "fit_splits", trained)
    done = train_on_real_cases(plan, cohort, shared_storage, start=start)
    cases = [["Case_3", "Case_1"], ["Case_4", "Case_2", "Case_0"], [f"Case_{n}" for n in (4, 3, 2, 1, 0)]]
    first, second = asked
    assert first == [(start, names) for names in cases]
    folder = second[2][0].parent
    files = [folder / "folds/model.keras", folder / "folds/model_1.keras", folder / "model.keras"]
    assert second == list(zip(files, cases, strict=True))
    assert done.folder != folder
    assert done.history["phase"].tolist() == [1, 1, 1, 2, 2, 2]
    assert len(done.origins) == 2
    assert train_on_real_cases(plan, cohort, shared_storage, start=start).folder == done.folder
    assert len(asked) == 2

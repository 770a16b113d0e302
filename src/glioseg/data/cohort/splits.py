"""Seeded splits: grouped by patient, stratified by grade and tumour size."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TypedDict

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import StratifiedGroupKFold

from glioseg.core.errors import GliosegError


class SplitError(GliosegError):
    """A cohort that cannot be split as params.yaml asks, or a split that leaks."""


class Fold(TypedDict):
    """One fold of cross-validation: case names."""

    train: list[str]
    validation: list[str]


class Splits(TypedDict):
    """What data/splits.json holds: case names of each part, and folds over train."""

    seed: int
    train: list[str]
    validation: list[str]
    test: list[str]
    folds: list[Fold]


def split_cases(
    manifest: pd.DataFrame,
    *,
    seed: int,
    test_fraction: float,
    validation_fraction: float,
    folds: int,
    alike: Sequence[Sequence[str]] = (),
    patients: Mapping[str, str] = MappingProxyType({}),
) -> Splits:
    """Divide the cases of a manifest.

    Every patient is in one part only, and so are patients of whom scans are nearly the same: they count
    as one, also where the contract refused the scan that they share. Within each stratum (grade × tumour
    size above or below the median) patients are drawn at random, so that the parts resemble each other.

    Args:
        manifest: columns case, patient, grade, ncr_vox, ed_vox, et_vox (data/cropped/manifest.csv).
        seed: the same seed gives the same split.
        test_fraction: share of patients to test on; at least one patient.
        validation_fraction: share of patients to choose by; at least one patient.
        folds: of cross-validation over the training cases.
        alike: pairs of cases with nearly the same image, also of cases that were refused.
        patients: the patient of each case of the raw cohort; needed of cases that the manifest lacks.

    Raises:
        SplitError: too few patients for the parts or the folds.
    """
    patient_of = {**patients, **dict(zip(manifest["case"], manifest["patient"], strict=True))}
    group_of = _groups(patient_of, alike)
    manifest = manifest.assign(patient=[group_of[patient] for patient in manifest["patient"]])
    counted = ", counting those with nearly the same scan as one" if alike else ""
    tests, validations = _sizes(manifest["patient"].nunique(), test_fraction, validation_fraction, counted)
    strata = _strata(manifest)
    cases_of = manifest.groupby("patient", sort=True)["case"].apply(list)
    stratum_of = dict(zip(manifest["patient"], strata, strict=True))
    order = _interleave([stratum_of[patient] for patient in cases_of.index], seed)
    _check_folds(folds, len(order) - tests - validations, counted)
    parts = {
        "test": order[:tests],
        "validation": order[tests : tests + validations],
        "train": order[tests + validations :],
    }
    named = {part: sorted(case for i in rows for case in cases_of.iloc[i]) for part, rows in parts.items()}
    result = Splits(
        seed=seed,
        train=named["train"],
        validation=named["validation"],
        test=named["test"],
        folds=_folds(manifest, strata, named["train"], seed, folds),
    )
    check_leakage(result, dict(zip(manifest["case"], manifest["patient"], strict=True)))
    return result


def _sizes(patients: int, test_fraction: float, validation_fraction: float, counted: str) -> tuple[int, int]:
    """How many patients to test on and to validate on."""
    tests, validations = (max(1, round(share * patients)) for share in (test_fraction, validation_fraction))
    if (left := patients - tests - validations) < 1:
        raise SplitError(
            f"split: expected a patient in each part, got {tests} for test_fraction {test_fraction:g},"
            f" {validations} for validation_fraction {validation_fraction:g} and {max(left, 0)} to train on,"
            f" of {patients} labelled patients{counted}"
        )
    return tests, validations


def _check_folds(folds: int, patients: int, counted: str) -> None:
    if folds > patients:
        raise SplitError(
            f"split.folds: expected at most {patients}, the labelled patients of training{counted},"
            f" got {folds}"
        )


def training_parts(splits: Splits, *, folds: int) -> list[Fold]:
    """What to train on, and what to choose the best epoch by: once, or for each fold of cross-validation.

    No fold holds a case of the split's validation part: that is new to the ensemble of all folds' networks.

    Args:
        splits: what data/splits.json holds.
        folds: 1, or as many as `splits` has.

    Raises:
        SplitError: the split has another number of folds.
    """
    if folds == 1:
        return [Fold(train=splits["train"], validation=splits["validation"])]
    if folds != len(splits["folds"]):
        raise SplitError(f"train.folds: expected 1 or {len(splits['folds'])}, got {folds}")
    return splits["folds"]


def _groups(patient_of: Mapping[str, str], alike: Sequence[Sequence[str]]) -> dict[str, str]:
    """The group of each patient: all patients whom pairs of cases join, directly or through others."""
    names = sorted(set(patient_of.values()))
    number = {name: index for index, name in enumerate(names)}
    ends = np.array([[number[patient_of[case]] for case in pair] for pair in alike], int).reshape(-1, 2)
    graph = csr_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(len(names), len(names)))
    _, group = connected_components(graph, directed=False)
    title = pd.Series(names).groupby(group).agg(" and ".join)
    return {name: str(title[group[index]]) for name, index in number.items()}


def _strata(manifest: pd.DataFrame) -> list[str]:
    volume = manifest[["ncr_vox", "ed_vox", "et_vox"]].sum(axis=1)
    large = np.where(volume > volume.median(), "large", "small")
    grades = manifest["grade"].astype(object).where(manifest["grade"].notna(), "unknown")
    return [f"{grade}/{size}" for grade, size in zip(grades, large, strict=True)]


def _interleave(strata: Sequence[str], seed: int) -> list[int]:
    """A random order in which every stretch holds the strata in their own proportions."""
    rng = np.random.default_rng(seed)
    keys: NDArray[np.float64] = np.zeros(len(strata))
    for stratum in sorted(set(strata)):
        rows = np.flatnonzero(np.array(strata) == stratum)
        keys[rng.permutation(rows)] = (np.arange(len(rows)) + rng.random()) / len(rows)
    return [int(i) for i in np.argsort(keys, kind="stable")]


def _folds(manifest: pd.DataFrame, strata: list[str], cases: list[str], seed: int, folds: int) -> list[Fold]:
    rows = manifest["case"].isin(cases).to_numpy()
    table = manifest[rows]
    chosen = [stratum for stratum, keep in zip(strata, rows, strict=True) if keep]
    # A stratum smaller than the number of folds cannot be in each of them: then draw without strata.
    smallest = min(chosen.count(stratum) for stratum in chosen)
    target = chosen if smallest >= folds else ["all"] * len(chosen)
    cut = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    names = table["case"].to_numpy()
    return [
        Fold(train=sorted(names[train].tolist()), validation=sorted(names[held].tolist()))
        for train, held in cut.split(names, target, table["patient"])
    ]


def check_leakage(splits: Splits, patient_of: dict[str, str]) -> None:
    """Raise SplitError where a patient is in two parts, in both sides of a fold, or in a part and a fold."""
    groups = [{part: splits[part] for part in ("train", "validation", "test")}]
    groups += [
        {"a fold's train": fold["train"], "a fold's validation": fold["validation"]}
        | {part: splits[part] for part in ("validation", "test")}
        for fold in splits["folds"]
    ]
    for parts in groups:
        home: dict[str, str] = {}
        for part, cases in parts.items():
            for case in cases:
                patient = patient_of[case]
                if home.setdefault(patient, part) != part:
                    raise SplitError(f"{case}: patient {patient} is in {home[patient]} and in {part}")

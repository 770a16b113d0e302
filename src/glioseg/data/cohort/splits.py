"""Seeded splits: grouped by patient, stratified by grade and tumour size."""

from collections.abc import Collection, Mapping, Sequence
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
    """The cohort is too small for the split in params.yaml, or the split has leakage."""


class Fold(TypedDict):
    """The case names of one fold of cross-validation."""

    train: list[str]
    validation: list[str]


class Splits(TypedDict):
    """The content of data/splits.json: the case names of each part, and folds over train."""

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
    near_duplicates: Sequence[Sequence[str]] = (),
    patients: Mapping[str, str] = MappingProxyType({}),
    training_only: Collection[str] = (),
) -> Splits:
    """Split the cases of a manifest into training, validation and test, and the training cases into folds.

    All cases of a patient are in one part. Patients with near-duplicate scans count as one patient, even if
    validation refused the duplicate. The parts are stratified by grade and by tumour size (above
    or below the median).

    Args:
        manifest: columns case, patient, grade, ncr_vox, ed_vox, et_vox (data/cropped/manifest.csv).
        seed: seed of the random split.
        test_fraction: share of the patients for testing; at least one patient.
        validation_fraction: share of the patients for validation; at least one patient.
        folds: number of folds of the training cases.
        near_duplicates: pairs of near-duplicate cases, including refused ones.
        patients: the patient of each case of the raw cohort; required for cases that the manifest lacks.
        training_only: cases that should be for training; patients with one are in the other parts only if
            there are too few others.

    Raises:
        SplitError: there are too few patients for the parts or the folds.
    """
    patient_of = {**patients, **dict(zip(manifest["case"], manifest["patient"], strict=True))}
    group_of = _groups(patient_of, near_duplicates)
    manifest = manifest.assign(patient=[group_of[patient] for patient in manifest["patient"]])
    counted = ", counting those with nearly the same scan as one" if near_duplicates else ""
    patient_count = manifest["patient"].nunique()
    tests, validations = part_sizes(
        patient_count,
        test_fraction=test_fraction,
        validation_fraction=validation_fraction,
        folds=folds,
        counted=counted,
    )
    strata = _strata(manifest)
    cases_of = manifest.groupby("patient", sort=True)["case"].apply(list)
    stratum_of = dict(zip(manifest["patient"], strata, strict=True))
    order = _interleave([stratum_of[patient] for patient in cases_of.index], seed)
    bound = set(training_only)
    order.sort(key=lambda row: not bound.isdisjoint(cases_of.iloc[row]))  # stable: keeps the strata spread
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


def part_sizes(
    patients: int, *, test_fraction: float, validation_fraction: float, folds: int, counted: str = ""
) -> tuple[int, int]:
    """The numbers of test and validation patients; all others are for training.

    Args:
        patients: the number of patients with labelled cases.
        test_fraction: share of the patients for testing; at least one patient.
        validation_fraction: share of the patients for validation; at least one patient.
        folds: number of folds of the training patients.
        counted: for the message: how patients are counted.

    Raises:
        SplitError: there are too few patients for the parts or the folds.

    >>> part_sizes(11, test_fraction=0.2, validation_fraction=0.1, folds=5)
    (2, 1)
    """
    tests, validations = (max(1, round(share * patients)) for share in (test_fraction, validation_fraction))
    if (left := patients - tests - validations) < 1:
        raise SplitError(
            f"split: expected a patient in each part, got {tests} for test_fraction {test_fraction:g},"
            f" {validations} for validation_fraction {validation_fraction:g} and {max(left, 0)} to train on,"
            f" of {patients} labelled patients{counted}"
        )
    if folds > left:
        raise SplitError(
            f"split.folds: expected at most {left}, the labelled patients of training{counted}, got {folds}"
        )
    return tests, validations


def training_parts(splits: Splits, *, folds: int, ensemble: bool) -> list[Fold]:
    """Training and validation cases of each network.

    One pair without cross-validation; one pair per fold for an ensemble; otherwise one pair per fold, and
    then all training cases. No network is trained on a case of the validation part.

    Args:
        splits: the content of data/splits.json.
        folds: 1, or the number of folds in `splits`.
        ensemble: whether the networks of the folds are the model.

    Raises:
        SplitError: the split has a different number of folds.
    """
    whole = Fold(train=splits["train"], validation=splits["validation"])
    if folds == 1:
        return [whole]
    if folds != len(splits["folds"]):
        raise SplitError(f"train.folds: expected 1 or {len(splits['folds'])}, got {folds}")
    return splits["folds"] if ensemble else [*splits["folds"], whole]


def _groups(patient_of: Mapping[str, str], near_duplicates: Sequence[Sequence[str]]) -> dict[str, str]:
    """The group of each patient: the connected component of patients with near-duplicate scans."""
    names = sorted(set(patient_of.values()))
    number = {name: index for index, name in enumerate(names)}
    pairs = [[number[patient_of[case]] for case in pair] for pair in near_duplicates]
    ends = np.array(pairs, int).reshape(-1, 2)
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
    """A random order of patients in which each stratum is evenly spaced.

    Consecutive slices of it are therefore stratified, even if they hold only a few patients.
    """
    rng = np.random.default_rng(seed)
    keys: NDArray[np.float64] = np.zeros(len(strata))
    for stratum in sorted(set(strata)):
        rows = np.flatnonzero(np.array(strata) == stratum)
        keys[rng.permutation(rows)] = (np.arange(len(rows)) + rng.random()) / len(rows)
    return [int(i) for i in np.argsort(keys, kind="stable")]


def _folds(manifest: pd.DataFrame, strata: list[str], cases: list[str], seed: int, folds: int) -> list[Fold]:
    rows = manifest["case"].isin(cases).to_numpy()
    table = manifest[rows]
    train_strata = [stratum for stratum, keep in zip(strata, rows, strict=True) if keep]
    # If a stratum has fewer cases than there are folds, the folds are not stratified.
    smallest = min(train_strata.count(stratum) for stratum in train_strata)
    target = train_strata if smallest >= folds else ["all"] * len(train_strata)
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    names = table["case"].to_numpy()
    return [
        Fold(train=sorted(names[train].tolist()), validation=sorted(names[validation].tolist()))
        for train, validation in splitter.split(names, target, table["patient"])
    ]


def check_leakage(splits: Splits, patient_of: dict[str, str]) -> None:
    """Raise SplitError if a patient is in two parts, in both sides of a fold, or in a part and a fold."""
    disjoint = [{part: splits[part] for part in ("train", "validation", "test")}]
    disjoint += [
        {"a fold's train": fold["train"], "a fold's validation": fold["validation"]}
        | {part: splits[part] for part in ("validation", "test")}
        for fold in splits["folds"]
    ]
    for parts in disjoint:
        part_of: dict[str, str] = {}
        for part, cases in parts.items():
            for case in cases:
                patient = patient_of[case]
                if part_of.setdefault(patient, part) != part:
                    raise SplitError(f"{case}: patient {patient} is in {part_of[patient]} and in {part}")

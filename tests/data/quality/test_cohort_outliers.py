"""Rows that are given, compared by hand arithmetic."""

import base64
from dataclasses import replace

import numpy as np
import pytest

from glioseg.data.quality.cohort_outliers import alike_cases, far_away, find_outliers
from glioseg.data.quality.volume_statistics import VolumeRow
from glioseg.params.contract import Contract, Far

FAR = Far(severity="warning", predict="off", times=8, deviations=5)
EVEN = [1.0] * 8


def row(case: str, role: str = "t1", **facts: object) -> VolumeRow:
    return VolumeRow(case, role, f"{case}_{role}.nii.gz", "brats2021", **facts)


def printed(*steps: int) -> str:
    return base64.b64encode(np.array(steps, np.int8).tobytes()).decode()


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (7.9, None),
        (8.1, "8.1 times more; up to 8 times is usual"),
        (1 / 7.9, None),
        (0.001, "1000 times less; up to 8 times is usual"),
    ],
)
def test_an_even_cohort_allows_as_many_times_as_the_contract_says(value: float, words: str | None) -> None:
    assert far_away([*EVEN, value], FAR) == ({} if words is None else {8: words})


def test_a_spread_cohort_allows_its_deviations() -> None:
    # Logs 0, ±1, ±1, ±1, ±1 have median 0 and MAD 1: five deviations are a factor exp(5 · 1.4826) = 1656.
    spread = [1.0, *[float(np.e)] * 4, *[float(1 / np.e)] * 4]
    assert far_away([*spread, 1500.0, 1 / 1500], FAR) == {}
    (words,) = far_away([*spread, 2000.0, 1 / 1500], FAR).values()
    assert words == "2000 times more; up to 1660 times is usual"


def test_fewer_than_eight_are_not_judged_and_what_is_unknown_does_not_count() -> None:
    assert far_away([*EVEN[:6], None, None, 1000.0], FAR) == {}
    assert list(far_away([*EVEN[:7], None, 1000.0], FAR)) == [8]


def test_of_detail_only_too_little_is_odd() -> None:
    assert list(far_away([*EVEN, 100.0, 0.01], FAR, only_less=True)) == [9]


def test_modalities_are_compared_each_with_its_own() -> None:
    t1 = [row(f"case{i}", range=100.0) for i in range(9)]
    t2 = [row(f"case{i}", "t2", range=5000.0) for i in range(8)]
    odd = row("odd", "t2", range=100.0)
    found = find_outliers([*t1, *t2, odd], {r.case: r.case for r in (*t1, odd)}, Contract())
    assert found[-1] == {"range_away": "50 times less; up to 8 times is usual"}
    assert not any(found[:-1])


def alike(one: VolumeRow, other: VolumeRow, patients: dict[str, str] | None = None) -> str | None:
    return find_outliers([one, other], patients or {"a": "a", "b": "b"}, Contract())[1].get("alike")


def test_an_image_like_an_earlier_one_names_it() -> None:
    # Their product is 3·3 + 4·4 + 0·2 = 25, their lengths 5 and √29.
    one, other = row("a", fingerprint=printed(3, 4, 0)), row("b", fingerprint=printed(3, 4, 2))
    assert alike(one, other) == f"a, with a correlation of {5 / 29**0.5:.3f}"
    assert alike(one, replace(other, role="t2")) is None
    assert alike(one, replace(other, fingerprint=printed(4, 0, 3))) is None


def test_two_visits_of_a_patient_may_be_alike_but_not_the_same() -> None:
    one, patients = row("a", fingerprint=printed(30, 40, 0)), {"a": "p", "b": "p"}
    assert alike(one, row("b", fingerprint=printed(30, 40, 20)), patients) is None
    # 2500 / (50 · √2501) = 0.9998
    assert alike(one, row("b", fingerprint=printed(30, 40, 1)), patients) == "a, with a correlation of 1.000"


def test_the_same_bytes_are_said_once() -> None:
    one = row("a", fingerprint=printed(3, 4, 0))
    assert alike(one, replace(one, case="b", same_bytes_as="a/t1")) is None


def test_a_case_whose_modalities_are_all_like_those_of_another_is_said_once() -> None:
    one = [row("a", role, fingerprint=printed(3, 4, 0)) for role in ("t1", "t2")]
    other = [row("b", "t1", fingerprint=printed(3, 4, 2)), row("b", "t2", fingerprint=printed(3, 4, 1))]
    found = find_outliers([*one, *other], {"a": "a", "b": "b"}, Contract())
    # 25 / (5 · √29) and 25 / (5 · √26)
    assert found == [{}, {}, {"alike": f"a in t1, t2, with a correlation of at least {5 / 29**0.5:.3f}"}, {}]


def test_all_pairs_of_alike_cases_are_found_those_of_the_same_bytes_too() -> None:
    one = row("a", fingerprint=printed(3, 4, 0))
    rows = [one, replace(one, case="b", same_bytes_as="a/t1"), row("c", fingerprint=printed(3, 4, 1))]
    rows.append(row("d", fingerprint=printed(4, 0, 3)))
    rows += [replace(image, role="t2") for image in rows]
    patients = {case: case for case in "abcd"}
    assert alike_cases(rows, patients, Contract()) == [("a", "b"), ("a", "c"), ("b", "c")]
    near = Contract().near_duplicate.model_copy(update={"severity": "off"})
    assert alike_cases(rows, patients, Contract(near_duplicate=near)) == []

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from glioseg.core.labels import (
    Label,
    LabelError,
    LabelScheme,
    detect_scheme,
    from_scheme,
    labels_from_regions,
    regions_from_labels,
    scheme_of_mapping,
    to_scheme,
)

LABEL_MAPS = arrays(np.uint8, (3, 4, 5), elements=st.integers(0, 3))


@given(LABEL_MAPS, st.sampled_from(LabelScheme))
def test_scheme_round_trip(labels, scheme):
    np.testing.assert_array_equal(from_scheme(to_scheme(labels, scheme), scheme), labels)


@given(LABEL_MAPS)
def test_regions_round_trip(labels):
    regions = regions_from_labels(labels).astype(np.float32)
    np.testing.assert_array_equal(labels_from_regions(regions), labels)


def test_regions_are_nested():
    wt, tc, et = np.moveaxis(regions_from_labels(np.arange(4, dtype=np.uint8)), -1, 0)
    assert wt.tolist() == [False, True, True, True]
    assert tc.tolist() == [False, True, False, True]
    assert et.tolist() == [False, False, False, True]


@pytest.mark.parametrize(
    ("values", "scheme"),
    [
        ({0, 1, 2, 4}, LabelScheme.BRATS2021),
        ({0, 3}, LabelScheme.BRATS2023),
        ({0, 1}, None),
        ({3, 4}, LabelScheme.BRATS2024),
    ],
)
def test_a_scheme_is_detected_by_its_values(values, scheme):
    assert detect_scheme(values) is scheme


def test_msd_and_2024_label_values():
    assert from_scheme(np.array([0, 1, 2, 3]), LabelScheme.MSD).tolist() == [0, Label.ED, Label.NCR, Label.ET]
    assert from_scheme(np.array([1, 3, 4]), LabelScheme.BRATS2024).tolist() == [Label.NCR, Label.ET, 0]


def test_an_unknown_label_is_named():
    with pytest.raises(LabelError, match=r"expected \[0, 1, 2, 4\] \(brats2021\), got \[7\]"):
        from_scheme(np.array([0, 7]), LabelScheme.BRATS2021)


def test_enhancing_outside_core_is_oedema():
    assert labels_from_regions(np.array([[0.9, 0.1, 0.9]]))[0] == Label.ED


def test_a_cyst_of_brats_ped_is_tumour_core():
    labels = from_scheme(np.array([0, 1, 2, 3, 4]), LabelScheme.BRATS_PED)
    assert labels.tolist() == [0, Label.ET, Label.NCR, Label.NCR, Label.ED]
    assert regions_from_labels(labels).sum(axis=0).tolist() == [4, 3, 1]  # WT 1 to 4, TC 1 to 3, ET 1
    assert to_scheme(labels, LabelScheme.BRATS_PED).tolist() == [0, 1, 2, 2, 4]


def test_a_mapping_is_a_label_scheme():
    scheme = scheme_of_mapping({12: "ED", 1: "ET", 7: "NCR", 5: "BACKGROUND"})
    assert scheme == "1=ET 5=BACKGROUND 7=NCR 12=ED"
    assert LabelScheme(scheme.value) == scheme == pickle.loads(pickle.dumps(scheme))
    assert from_scheme(np.array([0, 1, 5, 7, 12]), scheme).tolist() == [0, Label.ET, 0, Label.NCR, Label.ED]
    assert to_scheme(np.arange(4, dtype=np.uint8), scheme).tolist() == [0, 7, 12, 1]
    assert scheme not in list(LabelScheme)


@pytest.mark.parametrize("text", ["brats1999", "1=ET", "1=ET 2=CYST", "1=ET 1=ED 2=NCR", "=ET", "256=ET"])
def test_any_other_text_is_no_label_scheme(text):
    with pytest.raises(ValueError, match=r"expected|not a valid"):
        LabelScheme(text)

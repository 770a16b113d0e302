"""The label scheme against the images: arithmetic on small volumes, and real cases."""

from pathlib import Path

import numpy as np
import pytest

from glioseg.core.labels import LabelScheme, detect_scheme, scheme_of_mapping
from glioseg.core.nifti import read_volume
from glioseg.data.cohort.cases import read_images
from glioseg.data.cohort.layouts import find_cases
from glioseg.data.quality.label_intensities import (
    LabelIntensity,
    describe_contradiction,
    measure_label_intensities,
)

SHAPE = (30, 20, 10)
CHILD = (
    (1, 9000, 4.0, 2.5, 0.1),
    (2, 7000, 0.1, 2.0, 0.9),
    (3, 400, 0.0, 1.0, 0.0),
    (4, 20000, 0.2, 3.0, 0.5),
)
"""BraTS-PED: 1 enhances, 2 is the non-enhancing core, 3 a cyst, and 4 is oedema, bright on FLAIR."""


def case() -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Healthy brain of 90, 100 and 110 in equal shares; label 1 enhances, label 2 is bright on FLAIR."""
    healthy = np.resize([90.0, 100.0, 110.0], SHAPE)
    labels = np.zeros(SHAPE, np.uint8)
    labels[:5], labels[5:10] = 1, 2
    t1, t1ce, flair = healthy.copy(), healthy.copy(), healthy.copy()
    t1ce[labels == 1] = 160
    t1[labels == 1], t1[labels == 2], t1ce[labels == 2], flair[labels == 2] = 100, 100, 100, 140
    return {"t1": t1, "t1ce": t1ce, "flair": flair}, labels, np.ones(SHAPE, bool)


def test_brightness_is_in_robust_deviations_of_the_healthy_brain() -> None:
    # Quartiles 90 and 110: a deviation is 20 / 1.349 = 14.83. (160 - 100) / 14.83 = 4.05; 40 / 14.83 = 2.70.
    # Label 1 adjoins label 2 alone, and label 2 also background, with as many faces.
    expected = [(1, 1000, 4.047, 0.0, 0), (2, 1000, 0.0, 2.698, 0.5)]
    measured = measure_label_intensities(*case())
    assert [pytest.approx(row, abs=1e-3) for row in expected] == list(measured or ())


def test_brightness_depends_on_neither_scale_nor_offset() -> None:
    images, labels, brain = case()
    normalised = {name: (image - 100) / 7 for name, image in images.items()}
    changed = measure_label_intensities(normalised, labels, brain)
    for one, other in zip(changed or (), measure_label_intensities(images, labels, brain) or (), strict=True):
        assert one == pytest.approx(other)


def test_without_t1ce_or_contrast_nothing_is_measured_and_small_labels_do_not_count() -> None:
    images, labels, brain = case()
    assert measure_label_intensities({"t1": images["t1"], "flair": images["flair"]}, labels, brain) is None
    assert measure_label_intensities(images | {"t1": np.ones(SHAPE)}, labels, brain) is None
    labels[labels == 2] = 0
    labels[6, 0, :5] = 2
    assert [row[0] for row in measure_label_intensities(images, labels, brain) or ()] == [1]


def contradiction(scheme: LabelScheme, *rows: LabelIntensity, cases: int = 1) -> str | None:
    return describe_contradiction(scheme, [rows] * cases)


def test_labels_of_children_contradict_brats_2024_and_the_table_shows_it() -> None:
    assert contradiction(LabelScheme.BRATS_PED, *CHILD) is None
    assert contradiction(LabelScheme.BRATS2024, *CHILD) == (
        "1 (NCR) brightens more than ET does; label: T1ce - T1, FLAIR (standard deviations of healthy brain),"
        " size, medians of the cohort: 1 (NCR): +4.0, +2.5, 9000 voxels; 2 (ED): +0.1, +2.0, 7000 voxels;"
        " 3 (ET): +0.0, +1.0, 400 voxels; 4 (no tumour): +0.2, +3.0, 20000 voxels;"
        " data.scheme may be brats_ped"
    )


def test_labels_of_children_without_a_cyst_contradict_brats_2021() -> None:
    without_cyst = (CHILD[0], CHILD[1], CHILD[3])
    assert "brats_ped" in (contradiction(LabelScheme.BRATS2021, *without_cyst) or "")


def test_another_order_of_the_labels_contradicts_the_usual_one() -> None:
    audit = ((1, 900, 4.0, 2.0, 0.1), (2, 900, 0.0, 1.0, 0.0), (3, 900, 0.0, 3.0, 0.8))  # 1 ET, 2 NCR, 3 ED
    assert "1 (NCR) brightens" in (contradiction(LabelScheme.BRATS2023, *audit) or "")
    assert contradiction(scheme_of_mapping({1: "ET", 2: "NCR", 3: "ED"}), *audit) is None


@pytest.mark.parametrize(
    ("odd", "reason"),
    [
        ((4, 900, 0.0, 2.0, 0.1), "4 (ET) does not brighten"),
        ((2, 900, 0.0, 0.1, 0.9), "2 (ED) is not bright on FLAIR"),
    ],
)
def test_one_faint_tumour_is_no_contradiction_but_three_are(odd: LabelIntensity, reason: str) -> None:
    assert contradiction(LabelScheme.BRATS2021, odd, cases=2) is None
    assert (contradiction(LabelScheme.BRATS2021, odd, cases=3) or "").startswith(reason)


def test_the_medians_of_the_cohort_decide() -> None:
    right = ((1, 900, 0.0, 1.0, 0.0), (4, 900, 3.0, 2.0, 0.1))
    wrong = ((1, 900, 3.0, 1.0, 0.0), (4, 900, 0.0, 2.0, 0.1))
    assert describe_contradiction(LabelScheme.BRATS2021, [right, right, wrong]) is None
    assert describe_contradiction(LabelScheme.BRATS2021, [right, wrong, wrong])


NNUNET = ((1, 900, 0.0, 3.0, 0.8), (2, 900, 0.0, 1.0, 0.0), (3, 900, 4.0, 2.0, 0.2))
"""nnU-Net's and the Decathlon's order: 1 is oedema, 2 the core within, 3 enhances."""


def test_core_and_oedema_that_are_exchanged_contradict_the_scheme() -> None:
    assert (contradiction(LabelScheme.BRATS2023, *NNUNET) or "").startswith(
        "1 (NCR) lies outside 2 (ED): 80% and 0% of their surfaces adjoin healthy tissue; label: "
    )
    assert (contradiction(LabelScheme.BRATS2023, *NNUNET) or "").endswith("data.scheme may be msd")
    assert contradiction(LabelScheme.MSD, *NNUNET) is None
    without_et = NNUNET[:2]  # such a core need not lie within
    assert contradiction(LabelScheme.BRATS2023, *without_et) is None
    right = ((1, 900, 0.0, 1.0, 0.6), (2, 900, 0.0, 3.0, 0.5), (3, 900, 4.0, 2.0, 0.2))
    assert contradiction(LabelScheme.BRATS2023, *right) is None  # a difference within the limit
    assert describe_contradiction(LabelScheme.BRATS2023, [NNUNET, NNUNET, right])
    assert describe_contradiction(LabelScheme.BRATS2023, [NNUNET, right, right]) is None


def test_each_real_case_fits_its_scheme_and_contradicts_the_order_of_brats_ped(real_scans: Path) -> None:
    for found in find_cases(real_scans):
        if not found.labelled:
            continue
        labels = read_volume(found.files["seg"]).data
        scheme = detect_scheme(np.unique(labels).astype(int).tolist()) or found.scheme
        images = {name: volume.data for name, volume in read_images(found).items()}
        brain = np.any([image != 0 for image in images.values()], axis=0)
        measured = measure_label_intensities(images, labels, brain) or ()
        assert describe_contradiction(scheme, [measured]) is None, found.case
        child = {1: 2, 2: 4, 3: 1, 4: 1}
        relabelled = [(child[value], *row) for value, *row in measured]
        assert describe_contradiction(LabelScheme.BRATS2021, [relabelled]), found.case
        if len(measured) == 3:  # with enhancing tumour
            exchanged = [({1: 2, 2: 1}.get(value, value), *row) for value, *row in measured]
            assert describe_contradiction(scheme, [exchanged]), found.case

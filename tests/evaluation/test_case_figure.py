import numpy as np
import pytest
from PIL import Image

from glioseg.core.geometry import Box
from glioseg.core.labels import Label
from glioseg.core.modalities import MODALITIES
from glioseg.core.nifti import Grid
from glioseg.evaluation.case_figure import (
    COLOURS,
    GAP_PX,
    PLANES,
    PX_PER_MM,
    Scan,
    largest_section,
    overlay,
    planes_picture,
    scan_in_lps,
)

AXIAL, CORONAL, SAGITTAL = PLANES


@pytest.mark.parametrize(
    ("plane", "corner"),
    [(AXIAL, ("R", "A")), (CORONAL, ("R", "S")), (SAGITTAL, ("A", "S"))],
    ids=lambda value: getattr(value, "name", None),
)
def test_radiological_convention(plane, corner):
    # The rightmost, foremost and topmost voxel: LPS axes grow to the left, the back and the head.
    volume = np.zeros((3, 4, 5))
    volume[0, 0, -1] = 1
    index = {AXIAL: 4, CORONAL: 0, SAGITTAL: 0}[plane]
    shown = plane.cut(volume, index)
    assert np.argwhere(shown).tolist() == [[0, 0]]
    left, _, top, _ = plane.letters
    assert (left, top) == corner


@pytest.mark.parametrize(
    ("plane", "number"),
    [(AXIAL, 3), (CORONAL, 7), (SAGITTAL, 8)],
    ids=lambda value: getattr(value, "name", None),
)
def test_slices_have_the_numbers_of_the_page(plane, number):
    # Index 2 of LPS axes of 10, 9 and 9 voxels, counted from the left, from behind and from below, from 1.
    count = (10, 9, 9)[plane.axis]
    assert plane.slice_number(2, count) == number


def test_the_slice_with_the_most_tumour_is_shown():
    box, nothing = Box((0, 0, 0), (8, 8, 8)), np.zeros((8, 8, 8), np.uint8)
    truth, prediction = nothing.copy(), nothing.copy()
    truth[5, :3, :3] = 1
    truth[6, :2, :2] = 1
    prediction[1] = 1
    assert largest_section([truth, prediction], box, axis=0) == 5
    assert largest_section([nothing, prediction], box, axis=0) == 1
    assert largest_section([nothing, nothing], box, axis=0) == 4


def test_overlay_tints_and_outlines_labels_only():
    grey = Image.new("RGB", (40, 40), (100, 100, 100))
    labels = np.zeros((20, 20), np.uint8)
    labels[5:15, 5:15] = Label.ET
    pixels = np.asarray(overlay(grey, labels))
    assert tuple(pixels[1, 1]) == (100, 100, 100)
    assert tuple(pixels[10, 20]) == COLOURS[Label.ET]
    red, green, blue = (int(value) for value in pixels[20, 20])
    assert red > 100 < green
    assert blue < 100


def test_the_figure_has_four_columns_and_three_planes(scan):
    picture = planes_picture(scan, title="case", subtitle="Dice")
    widest_mm = max(scan.labels["truth"].shape)
    assert picture.width > 4 * widest_mm * PX_PER_MM * 0.9
    assert picture.height > sum((48, 36, 36)) * PX_PER_MM * 0.9
    drawn = {tuple(colour) for colour in np.asarray(picture).reshape(-1, 3)}
    assert set(COLOURS.values()) <= drawn


def test_spacing_stretches_the_picture(scan):
    tall = Scan(scan.images, scan.labels, (1.0, 1.0, 3.0))
    grown = (
        planes_picture(tall, title="", subtitle="").height
        - planes_picture(scan, title="", subtitle="").height
    )
    brain_vox = int(scan.brain.any(axis=(0, 1)).sum())
    # Two of the three planes show the stretched axis; margins around the brain stretch too.
    assert grown >= 2 * 2 * brain_vox * PX_PER_MM


def test_an_empty_scan_has_a_figure():
    nothing = np.zeros((20, 20, 20), np.uint8)
    scan = Scan(
        {"flair": nothing.astype(np.int16)}, {"truth": nothing, "prediction": nothing}, (1.0, 1.0, 1.0)
    )
    assert planes_picture(scan, title="", subtitle="").size > (0, 0)


def test_the_figure_has_a_column_for_each_image_and_label_map(scan):
    # Twelve columns are wider than the legend; each further one has the same width.
    widths = []
    for count in (12, 13, 14):
        labels = {str(number): scan.labels["truth"] for number in range(count - len(scan.images))}
        shown = Scan(scan.images, labels, scan.spacing_mm)
        widths.append(planes_picture(shown, title="", subtitle="").width)
    assert widths[2] - widths[1] == widths[1] - widths[0] == (widths[0] - GAP_PX) / 12


def test_pictures_do_not_depend_on_the_scan_s_orientation(scan):
    lps, ras = np.diag([1.0, 1.0, 1.0, 1.0]), np.diag([-1.0, -1.0, 1.0, 1.0])
    pictures = []
    for affine in (lps, ras):
        grid = Grid(scan.labels["truth"].shape, affine)
        pictures.append(scan_in_lps(scan.images, scan.labels, grid))
    np.testing.assert_array_equal(pictures[0].labels["truth"], pictures[1].labels["truth"][::-1, ::-1])
    np.testing.assert_array_equal(pictures[0].images["flair"], pictures[1].images["flair"][::-1, ::-1])


def test_spacing_follows_its_axis(scan):
    grid = Grid((40, 48, 36), np.array([[0, 0, 3.0, 0], [1, 0, 0, 0], [0, 2, 0, 0], [0, 0, 0, 1]]))
    turned = scan_in_lps({}, scan.labels, grid)
    # The file's axes go forward (1 mm), up (2 mm) and right (3 mm); those of LPS go left, back, up.
    assert turned.spacing_mm == (3.0, 1.0, 2.0)
    assert turned.labels["truth"].shape == (36, 40, 48)


@pytest.mark.parametrize(
    ("given", "shown"),
    [(MODALITIES, ["flair", "t1ce"]), (("t1", "t1ce"), ["t1ce"]), (("t1", "t2"), ["t1"])],
)
def test_flair_and_t1ce_are_shown_else_the_first_modality(scan, given, shown):
    images = dict.fromkeys(given, scan.images["flair"])
    grid = Grid(scan.labels["truth"].shape, np.diag([1.0, 1.0, 1.0, 1.0]))
    assert list(scan_in_lps(images, scan.labels, grid).images) == shown

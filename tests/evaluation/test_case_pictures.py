from io import BytesIO

import numpy as np
import pytest
import tifffile

from glioseg.core.labels import Label
from glioseg.evaluation.case_figure import Scan
from glioseg.evaluation.case_pictures import CHANNELS, imagej_tiff

SPACING_MM = (0.5, 0.8, 2.0)


@pytest.fixture
def opened(scan):
    content = imagej_tiff(Scan(scan.images, scan.labels, SPACING_MM))
    with tifffile.TiffFile(BytesIO(content)) as file:
        yield file


def test_the_tiff_is_a_hyperstack_of_seven_channels(opened):
    (series,) = opened.series
    # The scan is 40 (left), 48 (back), 36 (head).
    assert (series.axes, series.shape, series.dtype) == ("ZCYX", (36, 7, 48, 40), np.uint8)
    metadata = opened.imagej_metadata
    assert metadata["hyperstack"]
    assert (metadata["slices"], metadata["channels"], metadata["images"]) == (36, 7, 252)


def test_spacing_is_in_the_metadata(opened):
    assert (opened.imagej_metadata["unit"], opened.imagej_metadata["spacing"]) == ("mm", 2.0)
    for name, spacing_mm in (("XResolution", 0.5), ("YResolution", 0.8)):
        pixels, mm = opened.pages[0].tags[name].value
        assert mm / pixels == pytest.approx(spacing_mm)


def test_channels_are_named(opened):
    assert opened.imagej_metadata["Info"] == (
        "channels: FLAIR, truth WT, truth TC, truth ET, prediction WT, prediction TC, prediction ET"
    )


def test_channels_contain_the_masks_and_the_image(opened, scan):
    stack = dict(zip(CHANNELS, opened.asarray().transpose(1, 3, 2, 0), strict=True))
    for whose, labels in (("truth", scan.labels["truth"]), ("prediction", scan.labels["prediction"])):
        np.testing.assert_array_equal(stack[f"{whose} WT"], 255 * (labels > 0))
        np.testing.assert_array_equal(stack[f"{whose} TC"], 255 * np.isin(labels, [Label.NCR, Label.ET]))
        np.testing.assert_array_equal(stack[f"{whose} ET"], 255 * (labels == Label.ET))
    flair, image = stack["FLAIR"].astype(float), scan.images["flair"]
    assert (flair[image == 0] == 0).all()
    assert flair.max() == 255
    # Windowing keeps the order of grey values.
    assert (
        flair[scan.brain & (scan.labels["truth"] == Label.ET)].min()
        > flair[scan.brain & (scan.labels["truth"] == 0)].max()
    )


def test_an_empty_scan_is_no_error():
    nothing = np.zeros((4, 5, 6), np.uint8)
    content = imagej_tiff(
        Scan({"flair": nothing, "t1ce": nothing}, {"truth": nothing, "prediction": nothing}, (1.0, 1.0, 1.0))
    )
    assert tifffile.imread(BytesIO(content)).shape == (6, 7, 5, 4)

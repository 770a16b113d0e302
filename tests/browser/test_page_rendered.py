"""The page of the service in a browser without WebGL 2: it says so, and shows what the service renders."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from glioseg.core.nifti import decode_volume
from glioseg.evaluation.case_figure import COLOURS
from tests.helpers.pages import TOKEN, give_token, open_page, segment, volume

pytestmark = pytest.mark.timeout(900)


def shown_picture(page):
    """The pixels of the picture that the page shows."""
    image = page.locator("#rendered img")
    image.wait_for()
    reader = """async node => {
      await node.decode();
      const bytes = new Uint8Array(await (await fetch(node.src)).arrayBuffer());
      return btoa(bytes.reduce((text, byte) => text + String.fromCharCode(byte), ''));
    }"""
    content = base64.b64decode(image.evaluate(reader))
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def test_without_webgl_the_page_segments_shows_the_service_s_picture_and_downloads(
    browser_without_webgl, segmenting, shoot
):
    page = open_page(browser_without_webgl, segmenting)
    page.get_by_text("This browser has no WebGL 2").wait_for()
    page.get_by_text("No scan loaded.").wait_for()
    page.get_by_role("button", name="Sample case").click()
    give_token(page, TOKEN)
    page.get_by_text("Press Segment: the picture comes with the result.").wait_for()
    response = segment(page)
    tints = {tuple(map(int, pixel)) for pixel in np.unique(shown_picture(page).reshape(-1, 3), axis=0)}
    assert set(COLOURS.values()) <= tints
    row = page.get_by_role("row").filter(has_text="WT").inner_text().split("\t")
    labels = volume(response["segmentation"])
    assert float(row[1]) == pytest.approx((labels > 0).sum() / 1000, abs=0.06)  # a voxel is a microlitre
    assert response["entropy_map"] is None
    with page.expect_download() as begun:
        page.get_by_role("link", name="Download the segmentation").click()
    with open(begun.value.path(), "rb") as file:
        np.testing.assert_array_equal(decode_volume(file.read(), name="download").data, labels)
    with page.expect_download() as begun:
        page.get_by_role("link", name="Download the picture").click()
    assert begun.value.suggested_filename == f"sample-glioseg-v{response['version']}.png"
    assert [error for error in page.errors if "401" not in error] == []  # which asks for the token
    page.set_viewport_size({"width": 1400, "height": 830})
    shoot(page, "page-no-webgl.png")
    page.get_by_role("button", name="Sample case").click()
    page.get_by_text("Press Segment: the picture comes with the result.").wait_for()
    assert page.locator("#rendered img").count() == 0
    page.close()


def test_a_viewer_that_cannot_start_is_replaced(browser, segmenting):
    page = browser.new_page(base_url=segmenting)
    # A context whose textures or extensions are too few for the viewer: its first call fails.
    page.add_init_script("WebGL2RenderingContext.prototype.getExtension = () => { throw new Error('no') };")
    page.goto("/")
    page.get_by_text("This browser has no WebGL 2").wait_for()
    page.close()


def test_a_lost_graphics_context_is_reported(browser, segmenting):
    page = open_page(browser, segmenting)
    page.evaluate("document.getElementById('canvas').dispatchEvent(new Event('webglcontextlost'))")
    page.get_by_text("The browser has lost its graphics context: reload the page").wait_for()
    page.close()


@pytest.mark.parametrize("name", ["IM000001.dcm", "slice.IMA", "DICOMDIR"])
def test_dicom_files_get_a_sentence(browser, segmenting, name):
    page = open_page(browser, segmenting)
    given = {"name": name, "mimeType": "application/octet-stream", "buffer": b"\0" * 128 + b"DICM"}
    page.locator("#files").set_input_files([given])
    page.get_by_text("DICOM files (.dcm) cannot be read: convert each series to NIfTI first").wait_for()
    assert page.get_by_role("button", name="Segment", exact=True).is_disabled()
    page.close()

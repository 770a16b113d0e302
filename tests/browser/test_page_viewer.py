"""The viewer of the service's page in a real browser: what it shows, to the pixel.

Chromium draws WebGL on the CPU here, so the scan is small and mostly one plane of it is shown.
"""

import base64
from pathlib import Path

import numpy as np
import pytest

from glioseg.core.labels import TISSUES
from glioseg.core.modalities import ROLES
from glioseg.core.nifti import Grid, Volume, write_volume
from tests.helpers.pages import (
    TOKEN,
    differs,
    drawn,
    on_screen,
    open_page,
    overlap,
    sample_file,
    segment,
    volume,
)

SMALL = (90, 100, 80)

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def small(browser, segmenting, tmp_path_factory):
    """A page with a small part of the sample case in one plane, segmented, and the response."""
    page, folder = open_page(browser, segmenting), tmp_path_factory.mktemp("small")
    truth = sample_file(page, "seg")
    # The tumour is not in the middle, so that a picture that is upside down is not right.
    low = (np.argwhere(truth.data > 0).mean(axis=0) - np.divide(SMALL, (3, 2.5, 2))).astype(int).clip(0)
    part = tuple(slice(start, start + length) for start, length in zip(low, SMALL, strict=True))
    for role in ROLES:
        whole = truth if role == "seg" else sample_file(page, role)
        write_volume(folder / f"part_{role}.nii.gz", Volume(whole.data[part], Grid(SMALL, whole.grid.affine)))
    page.locator("#files").set_input_files(sorted(folder.iterdir()))
    page.get_by_text("No scan loaded.").wait_for(state="hidden")
    page.locator("#planes").select_option("axial")
    return page, segment(page, token=TOKEN)


def test_each_region_is_drawn_at_its_voxels_and_can_be_hidden(small):
    page, response = small
    labels = volume(response["segmentation"])
    number = int(np.argmax((labels > 0).sum(axis=(0, 1)))) + 1
    page.locator("#axial").fill(str(number))
    shown = drawn(page)
    for name, value, colour in (("oedema", 2, (79, 163, 255)), ("enhancing", 4, (255, 212, 38))):
        page.get_by_label(name).uncheck()
        without = drawn(page)
        page.get_by_label(name).check()
        found = np.argwhere(differs(shown, without, by=30))
        expected = np.argwhere(on_screen(page, labels[:, :, number - 1] == value, shown.shape[:2]))
        assert overlap(found, expected) > 0.85
        tint = (shown - without)[tuple(found.T)].mean(axis=0)
        assert np.corrcoef(tint, colour)[0, 1] > 0.8


def test_modality_opacity_grouping_truth_and_uncertainty_change_the_picture(small):
    page, _ = small
    before = drawn(page)
    assert (before.max(axis=-1) > 60).mean() > 0.1  # not black

    page.get_by_role("radio", name="T1ce").check(force=True)  # its label lies over it
    assert differs(before, drawn(page)).mean() > 0.1
    page.get_by_role("radio", name="FLAIR").check(force=True)
    assert differs(before, drawn(page)).mean() < 0.01

    page.get_by_label("Opacity").fill("0")
    bare = drawn(page)
    assert differs(before, bare).mean() > 0.01
    page.get_by_label("Opacity").fill("50")

    page.locator("#grouping").select_option("regions")
    page.get_by_label("tumour core").uncheck()
    page.get_by_label("enhancing").uncheck()
    one_colour = (drawn(page) - bare)[differs(before, bare)]
    assert (one_colour[:, 2] >= one_colour[:, 0]).mean() > 0.9  # all of WT is blue
    page.locator("#grouping").select_option("tissues")

    page.locator("#source").select_option("truth")
    assert differs(before, drawn(page)).mean() > 0.001
    page.locator("#source").select_option("model")

    page.locator("#uncertainty").check()
    assert differs(before, drawn(page)).mean() > 0.01
    page.locator("#uncertainty").uncheck()
    assert differs(before, drawn(page)).mean() < 0.001


def test_the_window_follows_sliders_and_the_right_button(small):
    page, _ = small
    before = drawn(page)
    level, width = (page.get_by_label(name) for name in ("Level", "Width"))
    start = level.input_value(), width.input_value()
    level.fill(level.get_attribute("max"))
    assert drawn(page).mean() < 0.8 * before.mean()
    page.get_by_role("button", name="Reset window").click()
    assert (level.input_value(), width.input_value()) == start
    assert differs(before, drawn(page)).mean() < 0.001

    box = page.locator("#canvas").bounding_box()
    page.mouse.move(box["x"] + 200, box["y"] + 100)
    page.mouse.down(button="right")
    page.mouse.move(box["x"] + 200, box["y"] + 180, steps=4)
    page.mouse.up(button="right")
    assert (level.input_value(), width.input_value()) != start
    page.get_by_role("button", name="Reset window").click()


@pytest.mark.parametrize(
    ("key", "plane", "step"),
    [
        ("ArrowUp", "axial", 1),
        ("ArrowDown", "axial", -1),
        ("ArrowLeft", "sagittal", 1),
        ("PageUp", "coronal", 1),
    ],
)
def test_keys_scroll_the_slices(small, key, plane, step):
    page, _ = small
    page.locator("#planes").select_option(plane)
    slider = page.locator(f"#{plane}")
    start, before = int(slider.input_value()), drawn(page)
    page.locator("#canvas").focus()
    for _ in range(5):
        page.keyboard.press(key)
    assert int(slider.input_value()) == start + 5 * step
    page.locator("#captions").get_by_text(f"{plane} {start + 5 * step}/").wait_for()
    assert differs(before, drawn(page)).mean() > 0.01
    slider.focus()
    for _ in range(5):
        page.keyboard.press("ArrowLeft" if step > 0 else "ArrowRight")
    assert int(slider.input_value()) == start
    assert differs(before, drawn(page)).mean() < 0.001
    page.locator("#planes").select_option("axial")


def test_the_planes_are_linked_and_the_wheel_scrolls_the_plane_under_the_pointer(small):
    page, _ = small
    page.locator("#planes").select_option("all")
    box = page.locator("#canvas").bounding_box()
    planes = ("axial", "coronal", "sagittal")
    before = [page.locator(f"#{plane}").input_value() for plane in planes]
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.8 * box["height"])
    page.mouse.wheel(0, 100)
    page.wait_for_function(f"document.getElementById('axial').value != {before[0]}")
    assert [page.locator(f"#{plane}").input_value() for plane in planes[1:]] == before[1:]
    page.mouse.click(box["x"] + 0.2 * box["width"], box["y"] + 0.6 * box["height"])  # in the axial plane
    page.wait_for_function(f"document.getElementById('sagittal').value != {before[2]}")
    assert page.locator("#coronal").input_value() != before[1]
    page.locator("#planes").select_option("axial")


def test_the_3d_view_rotates(small):
    page, _ = small
    page.locator("#planes").select_option("3d")
    before = drawn(page)
    assert (before.max(axis=-1) > 60).mean() > 0.02  # not black
    page.locator("#canvas").focus()
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    assert differs(before, drawn(page)).mean() > 0.02
    page.locator("#planes").select_option("axial")


def test_warnings_of_the_contract_are_shown(small):
    page, response = small
    assert {warning["rule"] for warning in response["warnings"]} >= {"shape"}
    for warning in response["warnings"]:
        page.locator(".warnings").get_by_text(warning["message"]).first.wait_for()


def test_the_download_is_the_label_map(small):
    page, response = small
    with page.expect_download() as loaded:
        page.get_by_role("link", name="Download").click()
    assert Path(loaded.value.path()).read_bytes() == base64.b64decode(response["segmentation"])
    assert loaded.value.suggested_filename == f"part-glioseg-v{response['version']}.nii.gz"


def test_every_control_has_a_name_and_the_keyboard_reaches_it(small):
    page, _ = small
    page.locator("summary").click()
    controls = page.evaluate(CONTROLS)
    assert [name for name, label in controls if not label] == []
    page.evaluate("document.activeElement.blur(); window.scrollTo(0, 0)")
    page.locator("h1").click()
    reached = set()
    for _ in range(3 * len(controls)):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.value"))
    # Of radio buttons, Tab reaches the one that is chosen, and arrows the others.
    assert {name for name, _ in controls} - reached == {"t1", "t1ce", "t2"}
    page.locator("summary").click()


CONTROLS = """() => [...document.querySelectorAll('button, input, select, canvas, a')]
  .filter(node => !node.disabled && node.checkVisibility())
  .map(node => [node.id || node.value,
                node.ariaLabel || node.labels?.[0]?.textContent.trim() || node.textContent.trim()])
"""


def test_the_page_contacts_only_the_service_and_logs_no_error(small):
    page, _ = small
    foreign = [
        url for url in page.requests if not url.startswith((page.address, "data:", f"blob:{page.address}"))
    ]
    assert foreign == []
    assert [line for line in page.errors if "401" not in line] == []  # for the browser, no token is an error


def test_the_page_and_the_package_have_the_same_label_schemes(small):
    page, _ = small
    schemes = page.evaluate("import('/page/colours.js').then(module => module.TISSUES)")
    values = {s.value: {str(v): t.name for v, t in tissues.items() if t} for s, tissues in TISSUES.items()}
    assert schemes == values

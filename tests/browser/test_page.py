"""The page of `glioseg serve` in a real browser, on the real service: what it shows, to the pixel.

Chromium draws WebGL on the CPU here, so a picture takes seconds.
"""

import base64
import io
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import zoom

from glioseg.data.layouts import MODALITIES, ROLES
from glioseg.data.volumes import Grid, Volume, decode_volume, encode_volume, write_volume
from glioseg.labels import TISSUES
from servers import free_port, server

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
OPTIONS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"]
TOKEN = "a token of the test"
SMALL = (90, 100, 80)

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium: Debian's package is called chromium"),
    pytest.mark.timeout(900),
]


@pytest.fixture(scope="module")
def scan():
    """Noise in a box, 1 mm."""
    data = np.zeros((30, 30, 30), np.int16)
    data[5:25, 5:25, 5:25] = np.random.default_rng(0).integers(1, 500, (20, 20, 20))
    return Volume(data, Grid(data.shape, np.diag([-1.0, -1.0, 1.0, 1.0])))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Tumour is where FLAIR is bright, its core where contrast agent brightens T1: means of 3³ voxels."""
    import keras

    from glioseg.nets.inference import save_model
    from tests.models import make_settings

    image = keras.Input((None, None, None, 4))
    layer = keras.layers.Conv3D(3, 3, padding="same", activation="sigmoid")
    network = keras.Model(image, {"segmentation": layer(image)})
    wt, core = [0, 0, 0, 9], [-9, 9, 0, 0]  # of t1, t1ce, t2, flair
    weights = np.stack([wt, core, core], axis=-1) / 27
    network.set_weights([np.broadcast_to(weights, (3, 3, 3, 4, 3)), np.array([-9.9, -3.6, -9.9])])
    folder = tmp_path_factory.mktemp("models") / "glioseg"
    folder.mkdir()
    save_model(
        folder, [network], make_settings(spacing_mm=2, min_component_ml=3.0, volume_reach=(0.4, 0.4, 0.4))
    )
    return folder


@pytest.fixture(scope="module")
def browser(model):
    from playwright.sync_api import sync_playwright

    port = free_port()
    words = ["typer", "glioseg.cli", "run", "serve", "--model", str(model), "--port", str(port)]
    environment = {"GLIOSEG_TOKEN": TOKEN}
    with server(words, port=port, ready="readyz", **environment) as address, sync_playwright() as browsers:
        browser = browsers.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield lambda: open_page(browser, address)
        browser.close()


def open_page(browser, address):
    """A page that keeps what it asked for and what went wrong, and the lines that it said."""
    page = browser.new_page(viewport={"width": 1400, "height": 900}, base_url=address)
    page.set_default_timeout(240_000)
    page.address, page.asked, page.wrong = address, [], []
    page.on("request", lambda request: page.asked.append(request.url))
    page.on("pageerror", lambda error: page.wrong.append(str(error)))
    page.on("console", lambda line: line.type == "error" and page.wrong.append(line.text))
    page.goto("/")
    page.evaluate(LISTEN)
    return page


LISTEN = """() => {
  const state = document.getElementById('state');
  window.said = [];
  new MutationObserver(() => said.push(state.textContent)).observe(state, {childList: true});
}"""


def give_token(page, token):
    page.get_by_role("textbox", name="Token").fill(token)
    page.get_by_role("button", name="Go on").click()


def segment(page, token=None):
    """What the service answered; it first wants its token, once a page."""
    button = page.get_by_role("button", name="Segment", exact=True)
    with page.expect_response(lambda r: r.url.endswith("/segment") and r.status != 401) as answered:
        button.click()
        if token:
            give_token(page, token)
    button.and_(page.locator(":enabled")).wait_for()
    return answered.value.json()


@pytest.fixture(scope="module")
def small(browser, tmp_path_factory):
    """A page with a small part of the sample case, in one plane, segmented, and the answer."""
    page, folder = browser(), tmp_path_factory.mktemp("small")
    truth = sample_file(page, "seg")
    # The tumour is not in the middle, so that a picture that is upside down is not right.
    low = (np.argwhere(truth.data > 0).mean(axis=0) - np.divide(SMALL, (3, 2.5, 2))).astype(int).clip(0)
    part = tuple(slice(start, start + length) for start, length in zip(low, SMALL, strict=True))
    for role in ROLES:
        whole = truth if role == "seg" else sample_file(page, role)
        write_volume(folder / f"part_{role}.nii.gz", Volume(whole.data[part], Grid(SMALL, whole.grid.affine)))
    page.locator("#files").set_input_files(sorted(folder.iterdir()))
    page.get_by_text("No scan yet.").wait_for(state="hidden")
    page.locator("#planes").select_option("axial")
    return page, segment(page, token=TOKEN)


def sample_file(page, role):
    response = page.request.get(f"/sample/{role}.nii.gz", headers={"Authorization": f"Bearer {TOKEN}"})
    return decode_volume(response.body(), name=role)


def drawn(page):
    """The canvas, without what HTML writes on it."""
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    page.locator("#captions").evaluate("node => node.style.visibility = 'hidden'")
    picture = page.locator("#canvas").screenshot()
    page.locator("#captions").evaluate("node => node.style.visibility = ''")
    return np.asarray(Image.open(io.BytesIO(picture)).convert("RGB")).astype(int)


def differs(one, other, *, by=12):
    """The pixels that two pictures do not share, by more than so many of 255."""
    return np.abs(one - other).max(axis=-1) > by


def shoot(page, folder, name):
    """Keep a picture: in the folder that GLIOSEG_SCREENSHOTS names, or with the test's own files."""
    page.screenshot(path=Path(os.environ.get("GLIOSEG_SCREENSHOTS", folder)) / name)


def volume(text):
    return decode_volume(base64.b64decode(text), name="answer").data


def test_the_sample_is_shown_segmented_and_measured(browser, tmp_path):
    page = browser()
    page.get_by_role("button", name="Sample case").click()
    give_token(page, "another one")
    page.get_by_text("That is not this service's token.").wait_for()
    give_token(page, TOKEN)
    page.get_by_text("No scan yet.").wait_for(state="hidden")
    answer = segment(page)
    assert page.locator("#model").inner_text() == f"{answer['model']}, version {answer['version']}"
    labels, truth = volume(answer["segmentation"]), sample_file(page, "seg").data
    for region, values in {"WT": (1, 2, 4), "TC": (1, 4), "ET": (4,)}.items():
        mine, true = np.isin(labels, values), np.isin(truth, values)
        cells = page.get_by_role("row").filter(has_text=region).inner_text().split("\t")
        assert float(cells[1]) == pytest.approx(mine.sum() / 1000, abs=0.06)  # a voxel is a microlitre
        low, high = map(float, cells[2].split(" – "))
        assert low <= float(cells[1]) <= high
        assert float(cells[3]) == pytest.approx(2 * (mine & true).sum() / (mine.sum() + true.sum()), abs=6e-4)
    said = page.evaluate("said")
    assert any(line.startswith(("Sent", "The model is at it")) for line in said)
    assert said[-1] == "Done."
    drawn(page)
    shoot(page, tmp_path, "page-answer.png")

    page.locator("#uncertainty").check()
    drawn(page)
    shoot(page, tmp_path, "page-uncertainty.png")
    page.locator("#uncertainty").uncheck()

    page.set_viewport_size({"width": 400, "height": 800})
    page.emulate_media(color_scheme="dark")
    drawn(page)
    page.evaluate("document.getElementById('view').scrollIntoView()")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(21, 24, 28)"
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    shoot(page, tmp_path, "page-narrow.png")
    page.close()


def test_each_region_is_where_the_answer_has_it_and_goes_when_switched_off(small):
    page, answer = small
    labels = volume(answer["segmentation"])
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


def on_screen(page, plane, shape):
    """Where an axial plane of an LPS scan is drawn: the patient's left is on the right, the front above."""
    scale = page.locator("#captions .ruler").bounding_box()["width"] / 50  # the ruler is 5 cm
    enlarged = zoom(plane.T.astype(np.uint8), scale, order=0, grid_mode=True, mode="nearest") > 0
    screen = np.zeros(shape, bool)
    top, left = ((np.array(shape) - enlarged.shape) / 2).round().astype(int)
    inside = enlarged[max(-top, 0) : shape[0] - top, max(-left, 0) : shape[1] - left]
    screen[max(top, 0) : max(top, 0) + inside.shape[0], max(left, 0) : max(left, 0) + inside.shape[1]] = (
        inside
    )
    return screen


def overlap(found, expected):
    one, other = ({tuple(place) for place in places.tolist()} for places in (found, expected))
    return 2 * len(one & other) / (len(one) + len(other))


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


def test_the_planes_are_linked_and_the_wheel_scrolls_the_one_under_it(small):
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


def test_the_3d_view_turns(small):
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
    page, answer = small
    assert {warning["rule"] for warning in answer["warnings"]} >= {"shape"}
    for warning in answer["warnings"]:
        page.locator(".warnings").get_by_text(warning["message"]).first.wait_for()


def test_the_download_is_the_answer(small):
    page, answer = small
    with page.expect_download() as loaded:
        page.get_by_role("link", name="Download").click()
    assert Path(loaded.value.path()).read_bytes() == base64.b64decode(answer["segmentation"])
    assert loaded.value.suggested_filename == f"part-glioseg-v{answer['version']}.nii.gz"


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


def test_nothing_leaves_the_service_s_own_address_and_nothing_goes_wrong(small):
    page, _ = small
    strange = [
        url for url in page.asked if not url.startswith((page.address, "data:", f"blob:{page.address}"))
    ]
    assert strange == []
    assert [line for line in page.wrong if "401" not in line] == []  # for the browser, no token is an error


def test_a_real_case_from_its_folder(browser, real_scans):
    page = browser()
    page.locator("#folder").set_input_files(real_scans / "BraTS-GLI-00000-000")
    page.get_by_text("No scan yet.").wait_for(state="hidden")
    page.locator("#planes").select_option("axial")
    assert page.locator("#scheme").input_value() == "brats2023"
    labels = volume(segment(page, token=TOKEN)["segmentation"])
    assert labels.max() == 3  # ET of BraTS 2023
    number = int(np.argmax((labels > 0).sum(axis=(0, 1)))) + 1
    page.locator("#axial").fill(str(number))
    shown = drawn(page)
    page.get_by_label("Opacity").fill("0")
    found = np.argwhere(differs(shown, drawn(page), by=30))
    assert overlap(found, np.argwhere(on_screen(page, labels[:, :, number - 1] > 0, shown.shape[:2]))) > 0.85
    page.close()


def test_roles_by_hand_and_errors_at_their_field(browser, scan):
    page = browser()
    sound = encode_volume(scan)
    page.evaluate_handle(
        """async bytes => {
          const given = new DataTransfer();
          given.items.add(new File([Uint8Array.from(atob(bytes), c => c.charCodeAt(0))], 'a scan.nii.gz'));
          given.items.add(new File(['no image'], 'patient_flair.nii'));
          given.items.add(new File(['?'], 'notes.txt'));
          document.body.dispatchEvent(new DragEvent('drop', {dataTransfer: given, bubbles: true}));
        }""",
        base64.b64encode(sound).decode(),
    )
    page.get_by_text("1 of the files end neither in .nii nor in .nii.gz and were left out.").wait_for()
    field = page.locator("#of-flair")
    page.get_by_text("This cannot be read as a NIfTI file.").wait_for()
    assert field.get_attribute("aria-invalid") == "true"
    page.locator("#of-t1").select_option("a scan.nii.gz")
    refused = segment(page, token=TOKEN)["error"]
    assert (refused["code"], refused["field"]) == ("unreadable", "flair")
    page.locator("#error-flair").get_by_text(refused["message"]).wait_for()
    field.select_option("")
    assert segment(page)["missing"] == [m for m in MODALITIES if m != "t1"]
    assert "T1ce, T2, FLAIR" in page.locator("#answered").inner_text()
    page.close()


def test_cancel(browser, scan):
    page = browser()
    page.route("**/segment", lambda route: None)  # the service never answers
    given = {"name": "x_t1.nii.gz", "mimeType": "application/gzip", "buffer": encode_volume(scan)}
    page.locator("#files").set_input_files([given])
    page.get_by_role("button", name="Segment", exact=True).click()
    page.get_by_role("button", name="Cancel").click()
    page.get_by_text("Cancelled.").wait_for()
    assert page.get_by_role("button", name="Segment", exact=True).is_enabled()
    page.close()


def test_the_page_knows_the_label_schemes(small):
    page, _ = small
    told = page.evaluate("import('/page/colours.js').then(module => module.TISSUES)")
    values = {s.value: {str(v): t.name for v, t in tissues.items() if t} for s, tissues in TISSUES.items()}
    assert told == values

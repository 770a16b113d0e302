"""The page of the service in a real browser: from the sample case to unreadable files."""

import base64

import numpy as np
import pytest

from glioseg.core.modalities import MODALITIES
from glioseg.core.nifti import Grid, Volume, encode_volume
from tests.helpers.pages import (
    TOKEN,
    differs,
    drawn,
    give_token,
    on_screen,
    open_page,
    overlap,
    sample_file,
    segment,
    volume,
)

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def scan():
    """Noise in a box, 1 mm."""
    data = np.zeros((30, 30, 30), np.int16)
    data[5:25, 5:25, 5:25] = np.random.default_rng(0).integers(1, 500, (20, 20, 20))
    return Volume(data, Grid(data.shape, np.diag([-1.0, -1.0, 1.0, 1.0])))


def test_the_sample_case_is_shown_segmented_and_measured(browser, segmenting, shoot):
    page = open_page(browser, segmenting)
    page.get_by_role("button", name="Sample case").click()
    give_token(page, "another one")
    page.get_by_text("This token is wrong.").wait_for()
    give_token(page, TOKEN)
    page.get_by_text("No scan loaded.").wait_for(state="hidden")
    response = segment(page)
    assert page.locator("#model").inner_text() == f"{response['model']}, version {response['version']}"
    labels, truth = volume(response["segmentation"]), sample_file(page, "seg").data
    page.get_by_role("columnheader", name="88 % interval").wait_for()
    for region, values in {"WT": (1, 2, 4), "TC": (1, 4), "ET": (4,)}.items():
        mine, true = np.isin(labels, values), np.isin(truth, values)
        cells = page.get_by_role("row").filter(has_text=region).inner_text().split("\t")
        assert float(cells[1]) == pytest.approx(mine.sum() / 1000, abs=0.06)  # a voxel is a microlitre
        low, high = map(float, cells[2].split(" – "))
        assert low <= float(cells[1]) <= high
        assert float(cells[3]) == pytest.approx(response["confidence"][region], abs=6e-3)
        assert float(cells[4]) == pytest.approx(2 * (mine & true).sum() / (mine.sum() + true.sum()), abs=6e-4)
    assert page.evaluate("(box => box.scrollWidth <= box.clientWidth)(document.getElementById('results'))")
    badge = page.locator(".badge").inner_text()
    assert badge == (
        "▲ Low confidence" if response["low_confidence_reasons"] else "✓ No sign of low confidence"
    )
    for reason in response["low_confidence_reasons"]:
        page.get_by_text(reason).wait_for()
    lines = page.evaluate("lines")
    assert any(line.startswith(("Sent", "Segmenting")) for line in lines)
    assert lines[-1] == "Done."
    drawn(page)
    shoot(page, "page-answer.png")

    page.locator("#uncertainty").check()
    drawn(page)
    shoot(page, "page-uncertainty.png")
    page.locator("#uncertainty").uncheck()

    page.set_viewport_size({"width": 400, "height": 800})
    page.emulate_media(color_scheme="dark")
    drawn(page)
    page.evaluate("document.getElementById('view').scrollIntoView()")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(21, 24, 28)"
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    shoot(page, "page-narrow.png")
    page.close()


def test_volumes_without_intervals_are_shown_alone(browser, segmenting):
    page = open_page(browser, segmenting)
    volume = {"ml": 1.5, "low_ml": None, "high_ml": None, "level": None}
    response = {"volumes": {"WT": volume}, "model": "m", "version": "1", "seconds": 1.0}
    page.evaluate(
        "async response =>"
        " document.body.replaceChildren(...(await import('./page/results.js')).describe(response))",
        response,
    )
    assert page.get_by_role("columnheader").all_inner_texts() == ["Region", "ml"]
    assert page.get_by_role("row").last.inner_text().split() == ["WT", "1.50"]
    page.close()


def test_a_region_that_cannot_be_judged_has_its_reason_in_place_of_numbers(browser, segmenting):
    page = open_page(browser, segmenting)
    reason = "cannot be judged without T1ce"
    unjudged = {"ml": None, "low_ml": None, "high_ml": None, "level": None, "reason": reason}
    whole = {"ml": 1.5, "low_ml": 1.0, "high_ml": 2.0, "level": 0.9, "reason": None}
    response = {"volumes": {"WT": whole, "ET": unjudged}, "confidence": {"WT": 0.5, "ET": None}}
    response |= {"low_confidence_reasons": [f"ET {reason}"], "model": "m", "version": "1", "seconds": 1.0}
    page.evaluate(
        "async response =>"
        " document.body.replaceChildren(...(await import('./page/results.js')).describe(response))",
        response,
    )
    assert page.get_by_role("row").last.inner_text().split("\t") == ["ET", reason, "–"]
    assert page.get_by_text(f"ET {reason}").is_visible()
    page.close()


def test_a_real_case_from_its_folder(browser, segmenting, real_scans):
    page = open_page(browser, segmenting)
    page.locator("#folder").set_input_files(real_scans / "BraTS-GLI-00000-000")
    page.get_by_text("No scan loaded.").wait_for(state="hidden")
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


def test_modalities_are_chosen_by_hand_and_errors_appear_at_their_field(browser, segmenting, scan):
    page = open_page(browser, segmenting)
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
    page.get_by_text("One file is not .nii or .nii.gz and was ignored.").wait_for()
    page.get_by_text("a scan.nii.gz: not recognised by name: choose the modality by hand").wait_for()
    field = page.locator("#of-flair")
    page.get_by_text("This cannot be read as a NIfTI file.").wait_for()
    assert field.get_attribute("aria-invalid") == "true"
    page.locator("#of-t1").select_option("a scan.nii.gz")
    refused = segment(page, token=TOKEN)["error"]
    assert (refused["code"], refused["field"]) == ("unreadable", "flair")
    page.locator("#error-flair").get_by_text(refused["message"]).wait_for()
    field.select_option("")
    assert segment(page)["missing"] == [m for m in MODALITIES if m != "t1"]
    assert "T1ce, T2, FLAIR" in page.locator("#result-list").inner_text()
    page.close()


def test_cancel(browser, segmenting, scan):
    page = open_page(browser, segmenting)
    page.route("**/segment", lambda route: None)  # the service never responds
    given = {"name": "x_t1.nii.gz", "mimeType": "application/gzip", "buffer": encode_volume(scan)}
    page.locator("#files").set_input_files([given])
    page.get_by_role("button", name="Segment", exact=True).click()
    page.get_by_role("button", name="Cancel").click()
    page.get_by_text("Cancelled.").wait_for()
    assert page.get_by_role("button", name="Segment", exact=True).is_enabled()
    page.close()


DROP_A_FOLDER = """bytes => {
  const image = Uint8Array.from(atob(bytes), c => c.charCodeAt(0));
  const file = (name, content) => ({isFile: true, file: good => good(new File([content], name))});
  const folder = (...parts) => ({isFile: false, createReader: () => {
    const batches = [...parts.map(part => [part]), []];  // a browser lists a folder in batches
    return {readEntries: good => good(batches.shift())};
  }});
  const inner = folder(file('p_flair.nii.gz', image));
  const case_ = folder(file('p_t1.nii.gz', image), inner, file('p_seg.nii.gz', image));
  const event = new Event('drop', {bubbles: true});
  event.dataTransfer = {files: [], items: [{webkitGetAsEntry: () => case_}]};
  document.body.dispatchEvent(event);
}"""


def test_a_dropped_folder_is_read_recursively(browser, segmenting, scan):
    page = open_page(browser, segmenting)
    page.evaluate(DROP_A_FOLDER, base64.b64encode(encode_volume(scan)).decode())
    page.get_by_text("No scan loaded.").wait_for(state="hidden")
    chosen = {role: page.locator(f"#of-{role}").input_value() for role in (*MODALITIES, "seg")}
    assert chosen == {
        "t1": "p_t1.nii.gz",
        "t1ce": "",
        "t2": "",
        "flair": "p_flair.nii.gz",
        "seg": "p_seg.nii.gz",
    }
    page.close()


DROP_AT_ONCE = """
new MutationObserver((_, observer) => {
  if (!document.getElementById('of-seg')) return;
  observer.disconnect();
  (%s)('%s');
}).observe(document, {childList: true, subtree: true});
"""


def test_a_scan_dropped_while_the_viewer_starts_is_shown(browser, segmenting, scan):
    page = open_page(browser, segmenting)
    page.add_init_script(DROP_AT_ONCE % (DROP_A_FOLDER, base64.b64encode(encode_volume(scan)).decode()))
    page.reload()
    page.get_by_text("No scan loaded.").wait_for(state="hidden")
    assert page.get_by_role("radio", name="FLAIR").is_checked()
    assert page.errors == []
    page.close()


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (
            503,
            '{"error": {"code": "busy", "message": "8 requests wait"}}',
            "8 requests wait. Try again in 9 s.",
        ),
        (503, "<h1>from a proxy</h1>", "The service is busy. Try again in 9 s."),
        (504, "<h1>from a proxy</h1>", "The request timed out. Try again in 9 s."),
    ],
)
def test_an_unavailable_service_is_reported(browser, segmenting, scan, status, body, words):
    page = open_page(browser, segmenting)
    page.route(
        "**/segment", lambda route: route.fulfill(status=status, body=body, headers={"Retry-After": "9"})
    )
    given = {"name": "x_t1.nii.gz", "mimeType": "application/gzip", "buffer": encode_volume(scan)}
    page.locator("#files").set_input_files([given])
    button = page.get_by_role("button", name="Segment", exact=True)
    button.click()
    page.get_by_text(words).wait_for(timeout=30_000)
    assert button.is_enabled()
    page.close()


def test_a_late_state_does_not_replace_the_outcome(browser, segmenting, scan):
    page = open_page(browser, segmenting)
    states = []
    page.route("**/requests/*", lambda route: states.append(route))  # held until the end
    given = {"name": "x_t1.nii.gz", "mimeType": "application/gzip", "buffer": encode_volume(scan)}
    page.locator("#files").set_input_files([given])
    segment(page, token=TOKEN)
    for state in states:
        state.fulfill(status=200, json={"state": "running"})
    page.wait_for_timeout(500)
    assert states
    assert page.locator("#state").inner_text() == "Done."
    page.close()

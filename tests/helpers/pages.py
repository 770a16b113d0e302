"""Operates the page of `glioseg serve` in a browser, and reads its pixels."""

import base64
import io

import numpy as np
from PIL import Image
from scipy.ndimage import zoom

from glioseg.core.nifti import decode_volume

TOKEN = "a token of the test"


LISTEN = """() => {
  const state = document.getElementById('state');
  window.lines = [];
  new MutationObserver(() => lines.push(state.textContent)).observe(state, {childList: true});
}"""


def open_page(browser, address):
    """A page that records its requests (`requests`), its errors (`errors`) and its status lines (`lines`)."""
    page = browser.new_page(viewport={"width": 1400, "height": 900}, base_url=address)
    page.set_default_timeout(240_000)
    page.address, page.requests, page.errors = address, [], []
    page.on("request", lambda request: page.requests.append(request.url))
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.on("console", lambda line: line.type == "error" and page.errors.append(line.text))
    page.goto("/")
    page.locator("#of-seg").wait_for()  # its scripts run on after the load event
    page.evaluate(LISTEN)
    return page


def give_token(page, token):
    page.get_by_role("textbox", name="Token").fill(token)
    page.get_by_role("button", name="Continue").click()


def segment(page, token=None):
    """Press Segment, and return the JSON of the response; `token` is entered if the page asks for it."""
    button = page.get_by_role("button", name="Segment", exact=True)
    with page.expect_response(lambda r: r.url.endswith("/segment") and r.status != 401) as responded:
        button.click()
        if token:
            give_token(page, token)
    button.and_(page.locator(":enabled")).wait_for()
    return responded.value.json()


def sample_file(page, role):
    response = page.request.get(f"/sample/{role}.nii.gz", headers={"Authorization": f"Bearer {TOKEN}"})
    return decode_volume(response.body(), name=role)


def drawn(page):
    """The pixels of the canvas, without the captions over it."""
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    page.locator("#captions").evaluate("node => node.style.visibility = 'hidden'")
    picture = page.locator("#canvas").screenshot()
    page.locator("#captions").evaluate("node => node.style.visibility = ''")
    return np.asarray(Image.open(io.BytesIO(picture)).convert("RGB")).astype(int)


def differs(one, other, *, by=12):
    """Mask of the pixels in which two pictures differ by more than `by` of 255."""
    return np.abs(one - other).max(axis=-1) > by


def volume(text):
    return decode_volume(base64.b64decode(text), name="response").data


def on_screen(page, plane, shape):
    """Mask of an axial plane of an LPS scan on the screen: left is on the right, anterior at the top."""
    # In one call: the page replaces its captions with every frame.
    ruler = "document.querySelector('#captions .ruler').getBoundingClientRect().width"
    scale = page.evaluate(ruler) / 50  # the ruler is 5 cm
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

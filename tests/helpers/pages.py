"""Opens the page of `glioseg serve`, asks it for an answer, and looks at its pixels."""

import base64
import io

import numpy as np
from PIL import Image
from scipy.ndimage import zoom

from glioseg.core.nifti import decode_volume

TOKEN = "a token of the test"


LISTEN = """() => {
  const state = document.getElementById('state');
  window.said = [];
  new MutationObserver(() => said.push(state.textContent)).observe(state, {childList: true});
}"""


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


def volume(text):
    return decode_volume(base64.b64decode(text), name="answer").data


def on_screen(page, plane, shape):
    """Where an axial plane of an LPS scan is drawn: the patient's left is on the right, the front above."""
    # In one go: the page replaces its captions with every picture.
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

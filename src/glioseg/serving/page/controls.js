// The controls of the viewer: modality, view, slices, window, zoom.

import { at, element } from "./dom.js";
import { MODALITIES, ROLES } from "./files.js";
import { Layers } from "./layers.js";
import { PLANES, Viewer, middle, readEntropy, readLabels } from "./viewer.js";

const RIGHT = 2;

export class Controls {
  #viewer = new Viewer({ moved: (slices) => this.#tellSlices(slices), windowed: (window) => this.#tellWindow(window) });
  #layers = new Layers(this.#viewer);
  #read = null;
  #wanted = null; // the modality that was asked for last

  async attach() {
    for (const plane in PLANES) at("slices").append(this.#sliceRow(plane));
    at("planes").onchange = () => { this.#viewer.setView(at("planes").value); this.#placeCaptions(); };
    for (const id of ["level", "width"]) at(id).oninput = () => this.#window();
    at("reset").onclick = () => { this.#viewer.resetWindow(); this.#tellWindow(this.#viewer.window); };
    at("zoom").oninput = () => this.#zoom();
    for (const kind of ["pointermove", "touchmove", "wheel"]) at("canvas").addEventListener(kind, (event) => this.#follow(event));
    at("canvas").addEventListener("webglcontextlost", tellLoss);
    new ResizeObserver(() => this.#placeCaptions()).observe(at("stage"));
    await this.#viewer.attach(at("canvas"));
  }

  /** Offer the modalities of a scan, and show one; `read(role)` gives the image, null where it is none. */
  async show(given, read, scheme) {
    this.#read = read;
    this.#layers.clear();
    const roles = MODALITIES.filter((role) => given.includes(role));
    const first = [this.#wanted, "flair", "t1ce", "t2", "t1"].find((role) => roles.includes(role));
    at("modality").replaceChildren(at("modality").firstElementChild, ...roles.map((role) => this.#choice(role, role === first)));
    if (first) await this.#showModality(first);
    const truth = given.includes("seg") ? await read("seg") : null;
    if (truth && this.#read === read) this.#layers.add("truth", truth, scheme);
  }

  /** Overlay a prediction and its entropy, both .nii.gz files, on the scan, and move to the tumour. */
  async present({ segmentation, entropy, scheme }) {
    const labels = await readLabels(segmentation);
    this.#layers.add("model", labels, scheme);
    this.#layers.setEntropy(entropy && await readEntropy(entropy));
    const place = middle(labels);
    if (place) this.#viewer.goTo(place);
  }

  #choice(role, checked) {
    const input = element("input", [], { type: "radio", name: "modality", value: role });
    input.checked = checked;
    input.onchange = () => this.#showModality(role);
    return element("label", [input, element("span", ROLES[role])]);
  }

  async #showModality(role) {
    this.#wanted = role;
    const image = await this.#read(role);
    if (!image || this.#wanted !== role) return;
    this.#viewer.setImage(image);
    at("empty").hidden = true;
    this.#tellWindow(this.#viewer.window);
  }

  #sliceRow(plane) {
    const input = element("input", [], { type: "range", id: plane, min: 1, max: 1 });
    input.disabled = true;
    input.oninput = () => this.#viewer.setSlice(plane, Number(input.value));
    return element("label", [
      element("span", plane[0].toUpperCase() + plane.slice(1)), input, element("output", "", { id: `${plane}-is` }),
    ], { class: "slider" });
  }

  #tellSlices(slices) {
    for (const [plane, { slice, count }] of Object.entries(slices)) {
      Object.assign(at(plane), { disabled: false, max: count, value: slice });
      at(plane).setAttribute("aria-valuetext", `slice ${slice} of ${count}`);
      at(`${plane}-is`).textContent = `${slice} / ${count}`;
    }
    this.#placeCaptions();
  }

  /** Name each plane and its slice where it is drawn, with a ruler. */
  #placeCaptions() {
    requestAnimationFrame(() => at("captions").replaceChildren(...this.#viewer.tiles.flatMap(caption)));
  }

  /** NiiVue does not say that it has moved the planes or, with the right button, the window. */
  #follow({ buttons }) {
    this.#placeCaptions();
    if (buttons === RIGHT) requestAnimationFrame(() => this.#tellWindow(this.#viewer.window));
  }

  #zoom() {
    this.#viewer.setZoom(Number(at("zoom").value));
    at("zoom-is").textContent = `${at("zoom").value} ×`;
    this.#placeCaptions();
  }

  #window() {
    const [level, width] = [Number(at("level").value), Number(at("width").value)];
    this.#viewer.setWindow({ low: level - width / 2, high: level + width / 2 });
    writeWindow(level, width);
  }

  #tellWindow({ low, high, min, max }) {
    const step = (max - min) / 500;
    Object.assign(at("level"), { disabled: false, min, max, step, value: (low + high) / 2 });
    Object.assign(at("width"), { disabled: false, min: step, max: max - min, step, value: high - low });
    at("reset").disabled = at("zoom").disabled = false;
    writeWindow((low + high) / 2, high - low);
  }
}

/** After a reset of the graphics card, say, the canvas stays black. */
function tellLoss() {
  at("empty").textContent = "The browser has lost its graphics context: reload the page to see the scan again.";
  at("empty").hidden = false;
}

function caption({ plane, slice, count, left, top, height, perMm }) {
  const [title, ruler] = [element("span", [`${plane} ${slice}`, element("i", `/${count}`)]), element("span", "5 cm", { class: "ruler" })];
  Object.assign(title.style, { left: `${left}px`, top: `${top}px` });
  Object.assign(ruler.style, { left: `${left + 8}px`, top: `${top + height - 26}px`, width: `${50 * perMm}px` });
  return [title, ruler];
}

function writeWindow(level, width) {
  at("level-is").textContent = Number(level.toPrecision(4));
  at("width-is").textContent = Number(width.toPrecision(4));
}

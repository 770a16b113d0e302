// What lies over the scan: the labels of the model or the truth, and the uncertainty.

import { GROUPINGS, colourTable, shownScheme } from "./colours.js";
import { at, element } from "./dom.js";

const SOURCES = { model: "the model", truth: "the true segmentation" };

export class Layers {
  #viewer;
  #labels = {}; // by source: {labels, scheme}
  #entropy = null;
  #shown = new Set();

  constructor(viewer) {
    this.#viewer = viewer;
    for (const id of ["source", "uncertainty"]) at(id).onchange = () => this.#draw();
    at("opacity").oninput = () => this.#draw();
    at("grouping").onchange = () => this.#group();
    this.#group();
  }

  clear() {
    this.#labels = {};
    this.#entropy = null;
    this.#draw();
  }

  /** Lay a label map over the scan; its own values tell the scheme, if they can. */
  add(source, labels, scheme) {
    this.#labels[source] = { labels, scheme: shownScheme(new Set(labels.img), scheme) };
    const given = Object.keys(SOURCES).filter((name) => this.#labels[name]);
    at("source").replaceChildren(...given.map((name) => element("option", SOURCES[name], { value: name })));
    at("source").value = source;
    this.#draw();
  }

  setEntropy(entropy) {
    this.#entropy = entropy;
    this.#draw();
  }

  #group() {
    const groups = Object.entries(GROUPINGS[at("grouping").value]);
    this.#shown = new Set(groups.map(([name]) => name));
    at("regions").replaceChildren(at("regions").firstElementChild, ...groups.map(([name, group]) => this.#region(name, group)));
    this.#draw();
  }

  #region(name, { title, rgb }) {
    const input = element("input", [], { type: "checkbox", value: name });
    input.checked = true;
    input.onchange = () => {
      if (input.checked) this.#shown.add(name);
      else this.#shown.delete(name);
      this.#draw();
    };
    return element("label", [input, element("i", "", { class: "swatch", style: `--colour: rgb(${rgb})` }), title], { class: "check" });
  }

  #draw() {
    const { labels, scheme } = this.#labels[at("source").value] ?? {};
    at("layers").hidden = !labels;
    at("entropy-legend").hidden = !this.#entropy;
    at("opacity-is").textContent = `${at("opacity").value} %`;
    this.#viewer.setLayers({
      labels,
      table: labels && colourTable({ scheme, grouping: at("grouping").value, shown: this.#shown }),
      entropy: at("uncertainty").checked ? this.#entropy : null,
      opacity: at("opacity").value / 100,
    });
  }
}

// Takes the place of the viewer in a browser without WebGL 2: shows the picture that the service renders.

import { at, element } from "./dom.js";

const NOTICE = "This browser has no WebGL 2, which the viewer needs: common on remote desktops, in virtual machines and where"
  + " hardware acceleration is switched off. Everything else works: the service segments the scan and draws a picture of it.";

export class Rendered {
  #address = "";
  #figure = element("div", "", { id: "rendered" });

  attach() {
    at("view").replaceChildren(element("p", NOTICE, { class: "notice", role: "status" }), this.#figure);
    at("entropy").checked = false; // nothing here could show the map
    at("entropy").closest("label").hidden = true;
    this.show([]);
  }

  /** Say what is to be done with the given roles of a scan. */
  show(given) {
    const words = given.length ? "Press Segment: the picture comes with the result." : "No scan loaded.";
    this.#figure.replaceChildren(element("p", words, { class: "quiet" }));
  }

  /** Show the picture of a prediction, a PNG file. */
  present({ picture, name }) {
    URL.revokeObjectURL(this.#address);
    const href = this.#address = URL.createObjectURL(picture);
    const alt = "The scan, and the segmentation over it, in an axial, a coronal and a sagittal plane";
    this.#figure.replaceChildren(
      element("img", [], { src: href, alt }),
      element("p", "Radiological convention: the patient's left is on the right. Each plane passes through the largest cross-section"
        + " of the tumour; for other slices, open the segmentation in a viewer.", { class: "quiet" }),
      element("div", [
        element("a", "Open the picture at full size", { href, target: "_blank", class: "button" }),
        element("a", "Download the picture", { href, download: `${name}.png`, class: "button" }),
      ], { class: "row" }),
    );
  }
}

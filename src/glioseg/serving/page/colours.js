// What each label value is, and its colour: those of the pictures that glioseg draws (evaluation/case_figure.py).

/** Value in the file to tissue, by scheme (glioseg.core.labels.TISSUES). */
export const TISSUES = {
  brats2021: { 1: "NCR", 2: "ED", 4: "ET" },
  brats2023: { 1: "NCR", 2: "ED", 3: "ET" },
  brats2024: { 1: "NCR", 2: "ED", 3: "ET" },
  brats_ped: { 1: "ET", 2: "NCR", 3: "NCR", 4: "ED" },
  msd: { 1: "ED", 2: "NCR", 3: "ET" },
};

/** What can be shown or hidden; a tissue has the colour of the last one that is shown and holds it. */
export const GROUPINGS = {
  tissues: {
    ED: { title: "oedema (ED)", holds: ["ED"], rgb: [79, 163, 255] },
    NCR: { title: "necrotic core (NCR)", holds: ["NCR"], rgb: [232, 62, 70] },
    ET: { title: "enhancing (ET)", holds: ["ET"], rgb: [255, 212, 38] },
  },
  regions: {
    WT: { title: "whole tumour (WT)", holds: ["ED", "NCR", "ET"], rgb: [79, 163, 255] },
    TC: { title: "tumour core (TC)", holds: ["NCR", "ET"], rgb: [232, 62, 70] },
    ET: { title: "enhancing (ET)", holds: ["ET"], rgb: [255, 212, 38] },
  },
};

/** NiiVue's table of colours for a label map: what is not shown is clear. */
export function colourTable({ scheme, grouping, shown }) {
  const table = { I: [0], R: [0], G: [0], B: [0], A: [0] };
  for (const [value, tissue] of Object.entries(TISSUES[scheme])) {
    const group = Object.entries(GROUPINGS[grouping]).findLast(([name, { holds }]) => shown.has(name) && holds.includes(tissue));
    const [r, g, b] = group?.[1].rgb ?? [0, 0, 0];
    table.I.push(Number(value));
    table.R.push(r);
    table.G.push(g);
    table.B.push(b);
    table.A.push(group ? 255 : 0);
  }
  return table;
}

/** The scheme that a label map's own values show, else the one given (glioseg.labels.shown_scheme). */
export function shownScheme(values, given) {
  if (given === "msd" || given === "brats_ped") return given;
  if (values.has(3)) return values.has(4) ? "brats2024" : "brats2023";
  return values.has(4) ? "brats2021" : given;
}

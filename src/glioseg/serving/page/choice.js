// What the user gives: files, which of them is which, and what is wrong with one.

import { DICOM, Files, KNOWN, MODALITIES, ROLES, dropped, pathOf } from "./files.js";
import { at, element } from "./dom.js";
import { readImage, readLabels } from "./viewer.js";

const WORDS_ON_DICOM = "DICOM files (.dcm) cannot be read: convert each series to NIfTI first, for example with dcm2niix."
  + " The scan must also be skull-stripped and its modalities registered.";

export class Choice {
  #files = new Files();
  #images = new Map(); // by file: the image, on its way
  #changed;

  /** `changed()` hears of each change. */
  constructor(changed) {
    this.#changed = changed;
    for (const role in ROLES) at("roles").append(this.#row(role));
    for (const id of ["files", "folder"]) at(id).onchange = () => {
      this.take([...at(id).files]);
      at(id).value = ""; // so that the same files can be chosen again
    };
    at("case").onchange = () => this.#choose(at("case").value);
    document.addEventListener("dragover", (event) => { event.preventDefault(); at("drop").classList.add("over"); });
    document.addEventListener("dragleave", () => at("drop").classList.remove("over"));
    document.addEventListener("drop", async (event) => {
      event.preventDefault();
      at("drop").classList.remove("over");
      this.take(await dropped(event.dataTransfer));
    });
  }

  /** Add files, and choose the case that they bring. */
  async take(given) {
    const strange = await this.#files.add(given);
    const { cases, names } = this.#files;
    const kept = at("case").value;
    at("case").replaceChildren(...[...cases.keys()].map((name) => element("option", name || "(no name)", { value: name })));
    at("case-row").hidden = cases.size < 2;
    for (const role in ROLES) {
      at(`of-${role}`).replaceChildren(element("option", "–", { value: "" }), ...names.map(fileOption));
    }
    const paths = new Set(given.map(pathOf));
    const brought = [...cases].find(([, { roles }]) => Object.values(roles).flat().some(({ path }) => paths.has(path)));
    this.#choose(brought?.[0] ?? kept);
    const used = new Set([...cases.values()].flatMap(({ roles }) => Object.values(roles).flat()).map(({ path }) => path));
    const unread = names.filter((path) => paths.has(path) && !used.has(path));
    say([
      at("error").textContent,
      strange === 1 && "One file is not .nii or .nii.gz and was ignored.",
      strange > 1 && `${strange} files are not .nii or .nii.gz and were ignored.`,
      given.some(({ name }) => DICOM.test(name)) && WORDS_ON_DICOM,
      unread.length && `${few(unread)}: not recognised by name: choose the modality by hand (known: ${KNOWN}).`,
      ...(unread.length ? this.#files.problems : []),
    ].filter(Boolean).join(" "));
  }

  get caseName() {
    return at("case").value;
  }

  /** The file of a role, or null. */
  file(role) {
    return this.#files.get(at(`of-${role}`).value);
  }

  get some() {
    return MODALITIES.some((role) => this.file(role));
  }

  /** The image of a role's file; null where it is none, which is told at its field. */
  async image(role) {
    const file = this.file(role);
    if (!this.#images.has(file)) this.#images.set(file, (role === "seg" ? readLabels : readImage)(file));
    try {
      return await this.#images.get(file);
    } catch {
      complain(role, "This cannot be read as a NIfTI file.");
      return null;
    }
  }

  #row(role) {
    const select = element("select", [], { id: `of-${role}`, "aria-label": ROLES[role], "aria-describedby": `error-${role}` });
    select.onchange = () => { complain(role, ""); this.#changed(); };
    return element("div", [
      element("label", [element("span", ROLES[role]), select]),
      element("p", "", { id: `error-${role}`, class: "error" }),
    ], { class: "role" });
  }

  #choose(caseName) {
    at("case").value = caseName;
    const { roles, scheme, notes } = this.#files.cases.get(caseName) ?? { roles: {}, scheme: "brats2021", notes: [] };
    for (const role in ROLES) at(`of-${role}`).value = roles[role]?.length === 1 ? roles[role][0].path : "";
    at("scheme").value = scheme;
    this.#images.clear(); // those of another case would fill the memory
    const twice = Object.entries(roles).filter(([, files]) => files.length > 1);
    say([
      ...twice.map(([role, files]) => `${ROLES[role]}: ${few(files.map(({ path }) => path))}: choose one.`),
      ...notes,
    ].join(" "));
    this.#changed();
  }
}

/** The first three names, and the number of the others. */
function few(names) {
  return names.slice(0, 3).join(", ") + (names.length > 3 ? ` and ${names.length - 3} more` : "");
}

/** Names of one case begin alike: their ends must be seen. */
function fileOption(name) {
  return element("option", name.length > 20 ? `…${name.slice(-19)}` : name, { value: name, title: name });
}

/** Say what is wrong as a whole; nothing where the message is empty, at no field either. */
export function say(message) {
  at("error").textContent = message;
  if (!message) for (const role in ROLES) complain(role, "");
}

/** Say at a role's field what is wrong with its file. */
export function complain(role, message) {
  at(`error-${role}`).textContent = message;
  at(`of-${role}`).setAttribute("aria-invalid", Boolean(message));
  if (message) at(`of-${role}`).focus();
}

// Which file of a case is which: by the names that BraTS gives, or by hand.

export const ROLES = {
  t1: "T1", t1ce: "T1ce", t2: "T2", flair: "FLAIR", seg: "Truth",
};
export const MODALITIES = ["t1", "t1ce", "t2", "flair"];

const ENDINGS = {
  t1: "t1", t1n: "t1", t1w: "t1", t1ce: "t1ce", t1c: "t1ce", t1gd: "t1ce",
  t2: "t2", t2w: "t2", flair: "flair", t2f: "flair", seg: "seg",
};
const NIFTI = /\.nii(\.gz)?$/i;
const NAME = /^(?:(.*)[-_.])?([a-z0-9]+)\.nii(?:\.gz)?$/i;
const OF_2023 = new Set(["t1n", "t1c", "t2w", "t2f"]);

/** Case, role and label scheme that a file's name tells; null where it tells none. */
export function recognise(name) {
  const [, caseName = "", ending = ""] = NAME.exec(name) ?? [];
  const role = ENDINGS[ending.toLowerCase()];
  if (!role) return null;
  return { caseName, role, scheme: OF_2023.has(ending.toLowerCase()) ? "brats2023" : "brats2021" };
}

/** The NIfTI files that somebody has given, and the cases that their names tell. */
export class Files {
  #files = new Map();

  /** Take files; how many of them are no NIfTI files. */
  add(files) {
    const sound = files.filter((file) => NIFTI.test(file.name) && !file.name.startsWith("."));
    for (const file of sound) this.#files.set(file.name, file);
    return files.length - sound.length;
  }

  get names() {
    return [...this.#files.keys()].sort();
  }

  get(name) {
    return this.#files.get(name) ?? null;
  }

  get cases() {
    const found = this.names.map(recognise).filter(Boolean);
    return [...new Set(found.map((one) => one.caseName))];
  }

  /** Of one case: the name of the file of each role, and its label scheme. */
  rolesOf(caseName) {
    const roles = {};
    let scheme = "brats2021";
    for (const name of this.names) {
      const known = recognise(name);
      if (known?.caseName !== caseName) continue;
      roles[known.role] ??= name;
      if (known.scheme === "brats2023") scheme = "brats2023";
    }
    return { roles, scheme };
  }
}

/** All files that were dropped, folders opened. */
export async function dropped(transfer) {
  // The list empties once this function has waited: take everything before.
  const loose = [...transfer.files];
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  return entries.length ? (await Promise.all(entries.map(walk))).flat() : loose;
}

async function walk(entry) {
  if (entry.isFile) return [await new Promise((good, bad) => entry.file(good, bad))];
  const reader = entry.createReader();
  const found = [];
  for (;;) {
    const some = await new Promise((good, bad) => reader.readEntries(good, bad)); // a hundred at a time
    if (!some.length) break;
    found.push(...some);
  }
  return (await Promise.all(found.map(walk))).flat();
}

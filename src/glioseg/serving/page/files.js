// Which file of a case is which: by the names that the service knows, or by hand.

export const ROLES = {
  t1: "T1", t1ce: "T1ce", t2: "T2", flair: "FLAIR", seg: "Truth",
};
export const MODALITIES = ["t1", "t1ce", "t2", "flair"];

// The table of file names that the command line uses too; without it, files are chosen by hand.
const NONE = { patterns: [], folders: {}, derived: "(?!)", since_2023: "(?!)", nifti: "\\.nii(\\.gz)?$", channels: [], other: "", known: "" };
const table = await fetch("file-names").then((response) => (response.ok ? response.json() : NONE)).catch(() => NONE);
const whole = (pattern) => new RegExp(`^(?:${pattern})$`, "is");
const PATTERNS = table.patterns.map(([pattern, role]) => [whole(pattern), role]);
const FOLDERS = Object.entries(table.folders).map(([role, pattern]) => [role, whole(pattern)]);
const DERIVED = whole(table.derived);
const SINCE_2023 = whole(table.since_2023);
const NIFTI = new RegExp(table.nifti, "i");
export const KNOWN = table.known;
export const DICOM = /\.(dcm|dicom|ima)$|^DICOMDIR$/i;

/** Case, role and label scheme that a file's name tells; null where it tells none. */
export function recognise(name) {
  const stem = name.replace(NIFTI, "");
  if (stem === name || name.startsWith(".")) return null;
  for (const [pattern, role] of PATTERNS) {
    const match = pattern.exec(stem);
    if (match && !role) return null;
    if (match) return { caseName: match[1] ?? "", role, channel: Number(match[2] ?? 0), since2023: SINCE_2023.test(stem) };
  }
  return null;
}

/** The NIfTI files that somebody has given, by path, and the cases that their names tell. */
export class Files {
  #files = new Map();

  /** Take files; how many of them are no NIfTI files. */
  add(files) {
    const sound = files.filter((file) => NIFTI.test(file.name) && !file.name.startsWith("."));
    for (const file of sound) this.#files.set(pathOf(file), file);
    return files.length - sound.length;
  }

  get names() {
    return [...this.#files.keys()].sort();
  }

  get(name) {
    return this.#files.get(name) ?? null;
  }

  /** By name of the case: the files of each role, all of them, and the label scheme. */
  get cases() {
    const byCase = Map.groupBy(assign(this.names), (file) => file.caseName);
    const all = [...byCase].flatMap(([name, files]) => (twice(files) ? byFolder(name, files) : [[name, files]]));
    const withImages = all.filter(([, files]) => files.some(({ role }) => role !== "seg"));
    return new Map((withImages.length ? withImages : all).map(([name, files]) => [name, {
      roles: Object.groupBy(files, ({ role }) => role),
      scheme: files.some(({ since2023 }) => since2023) ? "brats2023" : "brats2021",
      assumed: files.some(({ assumed }) => assumed),
    }]));
  }
}

/** The path of a file in the folder that was chosen or dropped; its name, if it was given alone. */
export function pathOf(file) {
  return file.webkitRelativePath || file.dropped || file.name;
}

const split = (path) => path.split("/").slice(-2).reverse(); // the name, the folder
const parent = (path) => path.split("/").slice(0, -1).join("/");

/** Files with case and role: what their names tell, and those beside them. */
function assign(paths) {
  const files = paths.map((path) => ({ path, folder: parent(path), ...recognise(split(path)[0]) }));
  const beside = Map.groupBy(files, ({ folder }) => folder);
  return [...beside.values()].flatMap((some) => some.map((file) => settle(file, some))).filter(({ role }) => role);
}

function settle(file, some) {
  const [name, folder = ""] = split(file.path);
  const stem = name.replace(NIFTI, "");
  const weak = ["channel", table.other, undefined];
  const [common] = FOLDERS.find(([role, pattern]) => pattern.test(folder) && some.every((one) => [...weak, role].includes(one.role))) ?? [];
  if (common && !DERIVED.test(stem)) {
    return { ...file, role: common, caseName: file.caseName && file.role === common ? file.caseName : stem, folder: parent(file.folder) };
  }
  const cases = some.filter(({ role }) => role in ROLES).map(({ caseName }) => caseName);
  if (file.role === table.other) {
    const own = some.some(({ caseName, role }) => caseName === file.caseName && MODALITIES.includes(role));
    return { ...file, role: own ? "seg" : undefined };
  }
  if (file.role === "channel") {
    const all = some.filter(({ caseName, role }) => caseName === file.caseName && role === "channel").length;
    return { ...file, role: all === table.channels.length ? table.channels[file.channel] : undefined, assumed: true };
  }
  const [, longer, end] = /^(.+)[-_. ]([^-_. ]+)$/s.exec(stem) ?? []; // P01_T2_flair: of P01, or of its second visit P01_T2
  const same = longer && file.role && recognise(`${end}.nii`)?.role === file.role;
  if (same && some.some((one) => one !== file && one.caseName === longer)) return { ...file, caseName: longer };
  const others = new Set(cases.filter(Boolean));
  if (file.role && !file.caseName) return { ...file, caseName: others.size === 1 ? [...others][0] : folder };
  return file;
}

/** Whether a role has files in two folders. */
function twice(files) {
  return Object.values(Object.groupBy(files, ({ role }) => role)).some((same) => new Set(same.map(({ folder }) => folder)).size > 1);
}

function byFolder(name, files) {
  return [...Map.groupBy(files, ({ folder }) => folder)].map(([folder, own]) => [`${folder}/${name}`, own]);
}

/** All files that were dropped, folders opened. */
export async function dropped(transfer) {
  // The list empties once this function has waited: take everything before.
  const loose = [...transfer.files];
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  return entries.length ? (await Promise.all(entries.map(walk))).flat() : loose;
}

async function walk(entry) {
  if (entry.isFile) {
    const file = await new Promise((good, bad) => entry.file(good, bad));
    return [Object.assign(file, { dropped: entry.fullPath?.slice(1) })];
  }
  const reader = entry.createReader();
  const found = [];
  for (;;) {
    const some = await new Promise((good, bad) => reader.readEntries(good, bad)); // a hundred at a time
    if (!some.length) break;
    found.push(...some);
  }
  return (await Promise.all(found.map(walk))).flat();
}

// Which file of a case is which: by the names that the service knows, or by hand.

export const ROLES = {
  t1: "T1", t1ce: "T1ce", t2: "T2", flair: "FLAIR", seg: "Truth",
};
export const MODALITIES = ["t1", "t1ce", "t2", "flair"];

// The table of file names that the command line uses too; without it, files are chosen by hand.
const NONE = {
  patterns: [], folders: {}, image_folders: [], derived: "(?!)", since_2023: "(?!)", nifti: "\\.nii(\\.gz)?$", channels: [], other: "",
  challenge: "(?!)", challenges: {}, known: "",
};
const table = await fetch("file-names").then((response) => (response.ok ? response.json() : NONE)).catch(() => NONE);
const whole = (pattern) => new RegExp(`^(?:${pattern})$`, "is");
const PATTERNS = table.patterns.map(([pattern, role]) => [whole(pattern), role]);
const FOLDERS = Object.entries(table.folders).map(([role, pattern]) => [role, whole(pattern)]);
const DERIVED = whole(table.derived);
const SINCE_2023 = whole(table.since_2023);
const CHALLENGE = new RegExp(table.challenge);
const NIFTI = new RegExp(table.nifti, "i");
const DATASET = "dataset.json";
export const KNOWN = table.known;
export const DICOM = /\.(dcm|dicom|ima)$|^DICOMDIR$/i;

/** Case, role and label scheme that a file's name tells; null where it tells none. */
export function recognise(name) {
  const stem = name.replace(NIFTI, "");
  if (stem === name || name.startsWith(".")) return null;
  for (const [pattern, role] of PATTERNS) {
    const match = pattern.exec(stem);
    if (match && !role) return null;
    if (match) return { caseName: match[1] ?? "", role, channel: Number(match[2] ?? 0), scheme: SINCE_2023.test(stem) ? "brats2023" : null };
  }
  return null;
}

/** The NIfTI files that somebody has given, by path, and the cases that their names tell. */
export class Files {
  #files = new Map();
  #datasets = new Map(); // by folder: what nnU-Net's dataset.json says of the channels

  /** Take files; how many of them are no NIfTI files. */
  async add(files) {
    const sound = files.filter((file) => NIFTI.test(file.name) && !file.name.startsWith("."));
    const datasets = files.filter((file) => file.name === DATASET);
    for (const file of sound) this.#files.set(pathOf(file), file);
    for (const file of datasets) this.#datasets.set(parent(pathOf(file)), await readDataset(file));
    return files.length - sound.length - datasets.length;
  }

  get names() {
    return [...this.#files.keys()].sort();
  }

  get(name) {
    return this.#files.get(name) ?? null;
  }

  /** What is wrong with files of dataset.json. */
  get problems() {
    return [...this.#datasets.values()].map(({ problem }) => problem).filter(Boolean);
  }

  /** By name of the case: the files of each role, all of them, the label scheme, and what was assumed. */
  get cases() {
    const byCase = Map.groupBy(assign(this.names, this.#datasets), (file) => file.caseName);
    const all = [...byCase].flatMap(([name, files]) => (twice(files) ? byFolder(name, files) : [[name, files]]));
    const withImages = all.filter(([, files]) => files.some(({ role }) => role !== "seg"));
    return new Map((withImages.length ? withImages : all).map(([name, files]) => {
      const challenge = table.challenges[CHALLENGE.exec(name)?.[0]];
      return [name, {
        roles: Object.groupBy(files, ({ role }) => role),
        scheme: challenge?.scheme ?? files.find(({ scheme }) => scheme)?.scheme ?? "brats2021",
        notes: [...new Set([...files.map(({ note }) => note), challenge?.note])].filter(Boolean),
      }];
    }));
  }
}

const NUMBERS = (roles) => Object.entries(roles).map(([number, role]) => `000${number} ${ROLES[role]}`).join(", ");
const LABELS = "The Decathlon's label values are assumed: others are under Options.";
const ASSUMED = { roles: table.channels, note: `nnU-Net's order is assumed: ${NUMBERS(table.channels)}. ${LABELS}` };

/** The role of each channel by dataset.json, or what is wrong with it. */
async function readDataset(file) {
  const record = await file.text().then(JSON.parse).catch(() => null);
  const names = Object.entries(record?.channel_names ?? record?.modality ?? {});
  const roles = Object.fromEntries(names.map(([number, name]) => [number, FOLDERS.find(([, pattern]) => pattern.test(name))?.[0]]));
  const sound = new Set(Object.values(roles).filter((role) => MODALITIES.includes(role)));
  if (names.length && sound.size === names.length) return { roles, note: `${DATASET}: ${NUMBERS(roles)}. ${LABELS}` };
  const got = names.map(([, name]) => name).join(", ") || "none";
  return { roles: {}, problem: `${DATASET}: channel_names: expected T1, T1ce, T2 and FLAIR, each at most once, got ${got}.` };
}

/** The path of a file in the folder that was chosen or dropped; its name, if it was given alone. */
export function pathOf(file) {
  return file.webkitRelativePath || file.dropped || file.name;
}

const split = (path) => path.split("/").slice(-2).reverse(); // the name, the folder
const parent = (path) => path.split("/").slice(0, -1).join("/");

/** Files with case and role: what their names tell, and those beside them. */
function assign(paths, datasets) {
  const files = paths.map((path) => ({ path, folder: parent(path), ...recognise(split(path)[0]) }));
  const beside = Map.groupBy(files, ({ folder }) => folder);
  const settled = [...beside.values()].flatMap((some) => some.map((file) => settle(file, some, datasets)));
  const byHome = Map.groupBy(settled.filter(({ role }) => role), ({ folder }) => folder);
  return [...byHome].flatMap(([home, some]) => (oneEach(some) ? some.map((file) => ({ ...file, caseName: split(home)[0], note: ONE_EACH })) : some));
}

const ONE_EACH = "One file in each folder of a modality, of different names: read as one case.";

/** Whether folders of one modality hold one file each, of different names. */
function oneEach(files) {
  const count = (key) => new Set(files.map(key)).size;
  return files.length > 1 && files.every(({ common }) => common) && count(({ role }) => role) === files.length && count(({ caseName }) => caseName) === files.length;
}

function settle(given, some, datasets) {
  const [name, own = ""] = split(given.path);
  const stem = name.replace(NIFTI, "");
  const weak = ["channel", table.other, undefined];
  const [common] = FOLDERS.find(([role, pattern]) => pattern.test(own) && some.every((one) => [...weak, role].includes(one.role))) ?? [];
  const file = { ...given, folder: common || table.image_folders.includes(own) ? parent(given.folder) : given.folder };
  const cases = new Set(some.filter(({ role, caseName }) => role in ROLES && caseName).map(({ caseName }) => caseName));
  const bare = cases.size === 1 ? [...cases][0] : split(file.folder)[0];
  if (common && !DERIVED.test(stem)) {
    return { ...file, role: common, common, caseName: file.role === common ? file.caseName || bare : stem };
  }
  if (file.role === table.other) {
    const beside = some.some(({ caseName, role }) => caseName === file.caseName && MODALITIES.includes(role));
    return { ...file, role: beside ? "seg" : undefined };
  }
  if (file.role === "channel") {
    const all = some.filter(({ caseName, role }) => caseName === file.caseName && role === "channel").length === table.channels.length;
    const { roles, note } = datasets.get(file.folder) ?? (all ? ASSUMED : { roles: {} });
    return { ...file, role: roles[file.channel], scheme: "msd", note };
  }
  const [, longer, end] = /^(.+)[-_. ]([^-_. ]+)$/s.exec(stem) ?? []; // P01_T2_flair: of P01, or of its second visit P01_T2
  const same = longer && file.role && recognise(`${end}.nii`)?.role === file.role;
  if (same && some.some((one) => one !== given && one.caseName === longer)) return { ...file, caseName: longer };
  return file.role ? { ...file, caseName: file.caseName || bare } : file;
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

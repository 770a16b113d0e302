// Connects the parts of the page: the user's scan, the service's response, and the viewer.

import { Choice, complain, say } from "./choice.js";
import { Controls } from "./controls.js";
import { at, element } from "./dom.js";
import { ROLES } from "./files.js";
import { Rendered } from "./rendered.js";
import { describe } from "./results.js";
import { Service } from "./service.js";

const service = new Service(askForToken);
const view = openView(); // takes a second and more: what is dropped meanwhile must not be lost
const choice = new Choice(show);
let running = null;

at("sample").onclick = () => attempt(takeSample);
at("scan").onsubmit = (event) => { event.preventDefault(); segment(); };
at("cancel").onclick = () => running.abort();
tellModel();

/** The viewer, or in a browser that cannot draw it, its substitute. */
async function openView() {
  if (element("canvas").getContext("webgl2")) {
    const controls = new Controls();
    const failed = await controls.attach().then(() => null, (error) => error);
    if (!failed) return controls;
    console.warn(failed);
  }
  const rendered = new Rendered();
  rendered.attach();
  return rendered;
}

async function tellModel() {
  try {
    const { model, version, problem } = await service.ready();
    at("model").textContent = `${model}, version ${version}${problem ? "; a newer version cannot be loaded" : ""}`;
  } catch (error) {
    at("model").textContent = error.message;
  }
}

async function takeSample() {
  at("state").textContent = "Fetching the sample case…";
  const files = await service.sample(Object.keys(ROLES));
  at("state").textContent = "";
  await choice.take(files);
}

/** Show the chosen scan, without a segmentation. */
async function show() {
  running?.abort(); // its response would belong to another scan
  at("send").disabled = !choice.some;
  at("results").hidden = true;
  at("state").textContent = "";
  const given = Object.keys(ROLES).filter((role) => choice.file(role));
  await (await view).show(given, (role) => choice.image(role), at("scheme").value);
}

async function segment() {
  running = new AbortController();
  busy(true);
  await attempt(async () => {
    const response = await service.segment(await formData(), { tell: progress, signal: running.signal });
    at("state").textContent = "Done.";
    await present(response);
  });
  running = null;
  busy(false);
}

async function formData() {
  const form = new FormData();
  for (const role in ROLES) {
    const file = choice.file(role);
    if (file) form.append(role, file, `${role}.nii`); // file names may contain names of patients
  }
  form.append("scheme", at("scheme").value);
  form.append("entropy", at("entropy").checked);
  form.append("picture", (await view) instanceof Rendered);
  if (at("mirror").value) form.append("mirror", at("mirror").value);
  return form;
}

function progress({ sent, total, state, ahead, seconds }) {
  if (sent < total) {
    Object.assign(at("bar"), { max: total, value: sent });
    at("state").textContent = `Sending: ${megabytes(sent)} of ${megabytes(total)} MB`;
    return;
  }
  at("bar").removeAttribute("value"); // the duration is unknown
  const words = { waiting: `Waiting: ${ahead} ahead in the queue`, running: "Segmenting" };
  at("state").textContent = `${words[state] ?? "Sent, waiting for the response"}${seconds ? ` · ${seconds} s` : ""}`;
}

const megabytes = (bytes) => (bytes / 1e6).toFixed(1);

async function present(response) {
  const [segmentation, entropy, picture] = [response.segmentation, response.entropy_map, response.picture].map(decoded);
  const name = `${choice.caseName || "case"}-glioseg-v${response.version}`;
  at("result-list").replaceChildren(...describe(response));
  URL.revokeObjectURL(at("download").href);
  at("download").href = URL.createObjectURL(segmentation);
  at("download").download = `${name}.nii.gz`;
  at("results").hidden = false;
  await (await view).present({ segmentation, entropy, picture, scheme: at("scheme").value, name });
}

/** A file of the response, .nii.gz or PNG; null where there is none. */
function decoded(base64) {
  if (!base64) return null;
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  const png = bytes[0] === 0x89;
  return new File([bytes], png ? "picture.png" : "map.nii.gz", { type: png ? "image/png" : "application/gzip" });
}

function busy(yes) {
  at("send").disabled = yes || !choice.some;
  at("sample").disabled = yes;
  at("cancel").hidden = at("progress").hidden = !yes;
  if (yes) at("cancel").focus();
  else if (document.activeElement === document.body) at("send").focus(); // the focused button is hidden now
}

/** Run it, and show an error, beside its field if it names one. */
async function attempt(work) {
  say("");
  try {
    await work();
  } catch (error) {
    const cancelled = error.name === "AbortError";
    at("state").textContent = cancelled ? "Cancelled." : "";
    if (cancelled) return;
    if (error.field in ROLES) complain(error.field, error.message);
    else if (error.retryAfter) say(`${error.message.replace(/\.$/, "")}. Try again in ${error.retryAfter} s.`);
    else say(error.message);
  }
}

function askForToken(again) {
  const dialog = at("ask");
  if (again) at("ask-why").textContent = "This token is wrong.";
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((good) => {
    dialog.onclose = () => good(dialog.returnValue === "ok" ? at("token").value : null);
  });
}

// Connects the parts of the page: the user's scan, the service's response, and the viewer.

import { Choice, complain, say } from "./choice.js";
import { Controls } from "./controls.js";
import { at } from "./dom.js";
import { ROLES } from "./files.js";
import { describe } from "./results.js";
import { Service } from "./service.js";
import { readEntropy, readLabels } from "./viewer.js";

const service = new Service(askForToken);
const controls = new Controls();
await controls.attach();
const choice = new Choice(show);
let running = null;

at("sample").onclick = () => attempt(takeSample);
at("scan").onsubmit = (event) => { event.preventDefault(); segment(); };
at("cancel").onclick = () => running.abort();
tellModel();

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
  choice.take(files);
}

/** Show the chosen scan, without a segmentation. */
function show() {
  running?.abort(); // its response would belong to another scan
  at("send").disabled = !choice.some;
  at("results").hidden = true;
  at("state").textContent = "";
  const given = Object.keys(ROLES).filter((role) => choice.file(role));
  return controls.show(given, (role) => choice.image(role), at("scheme").value);
}

async function segment() {
  running = new AbortController();
  busy(true);
  await attempt(async () => {
    const response = await service.segment(formData(), { tell: progress, signal: running.signal });
    at("state").textContent = "Done.";
    await present(response);
  });
  running = null;
  busy(false);
}

function formData() {
  const form = new FormData();
  for (const role in ROLES) {
    const file = choice.file(role);
    if (file) form.append(role, file, `${role}.nii`); // file names may contain names of patients
  }
  form.append("scheme", at("scheme").value);
  form.append("entropy", at("entropy").checked);
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
  const segmentation = mapFile(response.segmentation);
  const labels = await readLabels(segmentation);
  const entropy = response.entropy_map && await readEntropy(mapFile(response.entropy_map));
  at("result-list").replaceChildren(...describe(response));
  URL.revokeObjectURL(at("download").href);
  at("download").href = URL.createObjectURL(segmentation);
  at("download").download = `${choice.caseName || "case"}-glioseg-v${response.version}.nii.gz`;
  at("results").hidden = false;
  controls.showPrediction({ labels, entropy, scheme: at("scheme").value });
}

function mapFile(base64) {
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  return new File([bytes], "map.nii.gz", { type: "application/gzip" });
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

// Puts the page together: the user's scan, the service's answer, and the viewer.

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
    at("model").textContent = `${model}, version ${version}${problem ? "; a newer one cannot be loaded" : ""}`;
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

/** Show the scan that is chosen, without an answer. */
function show() {
  running?.abort(); // its answer would be another scan's
  at("send").disabled = !choice.some;
  at("answer").hidden = true;
  at("state").textContent = "";
  const given = Object.keys(ROLES).filter((role) => choice.file(role));
  return controls.show(given, (role) => choice.image(role), at("scheme").value);
}

async function segment() {
  running = new AbortController();
  busy(true);
  await attempt(async () => {
    const answer = await service.segment(question(), { tell: progress, signal: running.signal });
    at("state").textContent = "Done.";
    await present(answer);
  });
  running = null;
  busy(false);
}

function question() {
  const form = new FormData();
  for (const role in ROLES) {
    const file = choice.file(role);
    if (file) form.append(role, file, `${role}.nii`); // names of files may be those of patients
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
  at("bar").removeAttribute("value"); // nobody knows how long
  const words = { waiting: `Waiting: ${ahead} before this one`, running: "The model is at it" };
  at("state").textContent = `${words[state] ?? "Sent, waiting for the answer"}${seconds ? ` · ${seconds} s` : ""}`;
}

const megabytes = (bytes) => (bytes / 1e6).toFixed(1);

async function present(answer) {
  const segmentation = mapFile(answer.segmentation);
  const labels = await readLabels(segmentation);
  const entropy = answer.entropy_map && await readEntropy(mapFile(answer.entropy_map));
  at("answered").replaceChildren(...describe(answer));
  URL.revokeObjectURL(at("download").href);
  at("download").href = URL.createObjectURL(segmentation);
  at("download").download = `${choice.caseName || "case"}-glioseg-v${answer.version}.nii.gz`;
  at("answer").hidden = false;
  controls.showAnswer({ labels, entropy, scheme: at("scheme").value });
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
  else if (document.activeElement === document.body) at("send").focus(); // it was on what is gone
}

/** Do it, and say in words what went wrong, at the field at fault if there is one. */
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
  if (again) at("ask-why").textContent = "That is not this service's token.";
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((good) => {
    dialog.onclose = () => good(dialog.returnValue === "ok" ? at("token").value : null);
  });
}

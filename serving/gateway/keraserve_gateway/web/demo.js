import { classifyPath, key, Rejected, request } from "./requests.js";
import { useCamera } from "./camera.js";
import { element } from "./element.js";
import { showSnippets } from "./snippets.js";

const byId = (id) => document.getElementById(id);
const [model, drop, file, preview, hint, name, warnings, result, facts, keyForm, keyField, snippets] = [
  "model", "drop", "file", "preview", "hint", "name", "warnings", "result", "facts", "key-form", "key", "snippets",
].map(byId);
const REFRESH = 10000; // milliseconds until the list of models is updated
const RETRY = 3000;

let image = null; // the File that is shown
let latest = 0; // number of the latest request, whose response alone is shown
let timer = 0;
let warned = {}; // the warnings of each model's newest version

function clearResult() {
  result.replaceChildren(element("p", { className: "empty" }, "What the model sees is shown here."));
  facts.textContent = "";
}

/** Show a version's warnings. */
function warn(sentences = []) {
  warnings.replaceChildren(...sentences.map((one) => element("p", {}, one)));
  warnings.hidden = !sentences.length;
}

function complain(rejected) {
  const box = element("div", { className: "wrong" }, element("b", {}, rejected.message));
  box.setAttribute("role", "alert");
  if (rejected.detail) box.append(element("p", {}, rejected.detail));
  if (rejected.trace) box.append(element("p", { className: "fine" }, rejected.trace));
  if (rejected.temporary && image && !model.disabled) {
    const again = element("button", { type: "button" }, "Try again");
    again.addEventListener("click", classify);
    box.append(again);
  }
  result.replaceChildren(box);
  facts.textContent = "";
  if (rejected.status === 401 || rejected.status === 403) askForKey();
}

function askForKey() {
  keyForm.hidden = false;
  keyField.focus();
}

/** Update the list of models, now and every few seconds; the chosen one stays chosen. */
async function listModels() {
  clearTimeout(timer);
  let again = REFRESH;
  try {
    const { models } = await request("/v1/models");
    const ready = models.filter((one) => one.versions.some((version) => version.state === "AVAILABLE"));
    warned = Object.fromEntries(ready.map((one) => [one.name, newest(one).warnings]));
    offer(ready.map((one) => one.name));
    if (!ready.length) throw new Rejected(503, "no model is served yet; this page will notice when one is");
  } catch (error) {
    const locked = error.status === 401 || error.status === 403;
    // An earlier list stays: the next image's request shows whether something is still wrong.
    if (model.disabled || locked) complain(error);
    if (locked) return; // until another key is entered
    again = RETRY;
  }
  timer = setTimeout(listModels, again);
}

function newest(one) {
  return one.versions.find((version) => version.state === "AVAILABLE");
}

function offer(names) {
  const shown = [...model.options].map((option) => option.value);
  const wasDisabled = model.disabled;
  model.disabled = !names.length;
  if (names.join("\n") !== shown.join("\n")) {
    const chosen = model.value;
    model.replaceChildren(...names.map((one) => element("option", { value: one }, one)));
    if (names.includes(chosen)) model.value = chosen;
    showSnippets(snippets, model.value, image, Boolean(key.get()));
    warn(warned[model.value]);
  }
  if (!wasDisabled || !names.length) return;
  if (image) classify();
  else clearResult();
}

function show(response, milliseconds) {
  const { classes } = response.predictions[0];
  const rows = classes.map(({ label, probability }) => {
    const percent = `${(100 * probability).toFixed(1)} %`;
    const bar = element("progress", { max: 1, value: probability });
    bar.setAttribute("aria-label", `${label}: ${percent}`);
    return element("div", { className: "class" }, element("span", {}, label), element("b", {}, percent), bar);
  });
  warn(response.warnings);
  result.replaceChildren(...rows);
  facts.textContent = `${response.model}, version ${response.version}, in ${milliseconds} ms`;
}

async function classify() {
  if (!image || model.disabled) return;
  const number = ++latest;
  result.setAttribute("aria-busy", "true");
  const started = performance.now();
  try {
    const headers = { "Content-Type": "application/octet-stream" };
    const response = await request(classifyPath(model.value), { method: "POST", headers, body: image });
    if (number === latest) show(response, Math.round(performance.now() - started));
  } catch (error) {
    if (number === latest) complain(error);
  } finally {
    if (number === latest) result.removeAttribute("aria-busy");
  }
}

function size(bytes) {
  const units = ["bytes", "kB", "MB"];
  while (bytes >= 1000 && units.length > 1) [bytes] = [bytes / 1000, units.shift()];
  return `${bytes.toFixed(bytes < 10 && units[0] !== "bytes" ? 1 : 0)} ${units[0]}`;
}

function take(chosen) {
  if (!chosen) return;
  image = chosen;
  URL.revokeObjectURL(preview.src);
  preview.src = URL.createObjectURL(chosen);
  name.hidden = false;
  name.textContent = `${chosen.name} · ${size(chosen.size)}`;
  showSnippets(snippets, model.value, image, Boolean(key.get()));
  classify();
}

function look(shown) {
  preview.hidden = !shown;
  hint.hidden = shown;
  drop.classList.toggle("full", shown);
}

preview.addEventListener("error", () => look(false));
preview.addEventListener("load", () => {
  look(true);
  preview.classList.toggle("small", preview.naturalWidth < 200);
  name.textContent += ` · ${preview.naturalWidth} × ${preview.naturalHeight}`;
});
file.addEventListener("change", () => {
  take(file.files[0]);
  file.value = ""; // so that the same file, changed, can be chosen again
});
model.addEventListener("change", () => {
  warn(warned[model.value]);
  showSnippets(snippets, model.value, image, Boolean(key.get()));
  classify();
});
keyForm.addEventListener("submit", (event) => {
  event.preventDefault();
  key.set(keyField.value.trim());
  keyForm.hidden = true;
  listModels();
});
document.addEventListener("paste", (event) => take(event.clipboardData.files[0]));
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  drop.classList.add("over");
});
document.addEventListener("dragleave", (event) => event.relatedTarget || drop.classList.remove("over"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  take(event.dataTransfer.files[0]);
});
document.addEventListener("visibilitychange", () => document.hidden || listModels());

useCamera(take, (sentence) => complain(Object.assign(new Error(sentence), { status: -1 })));
clearResult();
listModels();

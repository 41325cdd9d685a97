// The demo page: the list of models, what the chosen one takes, and what it answers.

import { CARD, cardOf, hideCard, showCard } from "./card.js";
import { useCamera } from "./camera.js";
import { element } from "./element.js";
import { classesOf, classify, useImages } from "./images.js";
import { EXPLAIN, hideMap, offerMap } from "./map.js";
import { key, Rejected, request } from "./requests.js";
import { imageLines, showLines, tensorLines } from "./snippets.js";
import { filledIn, isUntouched, predict, showForm, signaturesOf, tableOf, takesImages } from "./tensors.js";

const byId = (id) => document.getElementById(id);
const [model, version, imageInput, tensorInput, inputTitle, outputTitle] = [
  "model", "version", "image-input", "tensor-input", "input-title", "output-title",
].map(byId);
const [warnings, result, facts, keyForm, keyField, snippets] = [
  "warnings", "result", "facts", "key-form", "key", "snippets",
].map(byId);
const REFRESH = 10000; // milliseconds until the list of models is updated
const RETRY = 3000;

let models = []; // as listed, by name
let images = []; // the Files that are shown
let signatures = null; // of the chosen version, once they are known
let shownState = ""; // of the version that is shown
let choice = 0; // counts the choices of a version: what comes for an earlier one is not shown
let latest = 0; // number of the latest request, whose response alone is shown
let timer = 0;

const available = (one) => one.versions.filter((each) => each.state === "AVAILABLE");
const chosen = () => models.find((one) => one.name === model.value);
const forImages = () => !signatures || takesImages(signatures);

/** Return what the requests are for: the model, with a version or a label if one is chosen. */
function target() {
  const [kind, value] = version.value.split(/:(.*)/s);
  return { model: model.value, ...(kind && { [kind]: value }) };
}

function clearResult() {
  const said = forImages() ? "What the model sees is shown here." : "What the model answers is shown here.";
  result.replaceChildren(element("p", { className: "empty" }, said));
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
  if (rejected.temporary && (images.length || !forImages()) && !model.disabled) {
    const again = element("button", { type: "button" }, "Try again");
    again.addEventListener("click", run);
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
    models = (await request("/v1/models")).models;
    offer();
    if (!models.some((one) => available(one).length)) {
      throw new Rejected(503, "no model is served yet; this page will notice when one is");
    }
  } catch (error) {
    const locked = error.status === 401 || error.status === 403;
    // An earlier list stays: the next request shows whether something is still wrong.
    if (model.disabled || locked) complain(error);
    if (locked) return; // until another key is entered
    again = RETRY;
  }
  timer = setTimeout(listModels, again);
}

/** Fill a list of choices, if it has changed; what is chosen stays chosen. Tells whether it is another one. */
function fill(select, options) {
  const [before, was] = [select.value, [...select.options].map((one) => `${one.value}\n${one.text}`).join("\n\n")];
  if (was === options.map(({ value, text }) => `${value}\n${text}`).join("\n\n")) return false;
  select.replaceChildren(...options.map(({ value, text }) => element("option", { value }, text)));
  select.value = before;
  if (select.selectedIndex < 0) select.selectedIndex = 0;
  return select.value !== before;
}

const stateOf = (one) => `${one?.version} ${one?.state}`;

function state(one) {
  return one.versions.some((each) => each.error) ? "failed" : "loading";
}

function offer() {
  const wasDisabled = model.disabled;
  const served = models.filter((one) => available(one).length);
  model.disabled = !served.length;
  const others = models.filter((one) => !available(one).length);
  const options = [
    ...served.map((one) => ({ value: one.name, text: one.name })),
    ...others.map((one) => ({ value: one.name, text: `${one.name} (${state(one)})` })),
  ];
  const another = fill(model, options);
  if (!model.disabled && (another || wasDisabled)) choose();
  else if (chosen() && (offerVersions() || stateOf(listed()) !== shownState)) chooseVersion();
}

/** Offer the versions and labels of the chosen model; tells whether another one is chosen now. */
function offerVersions() {
  const { versions, labels } = chosen();
  const offered = versions.filter((one) => one.error || !["UNLOADING", "END"].includes(one.state));
  version.disabled = false;
  return fill(version, [
    { value: "", text: "newest" },
    ...Object.keys(labels).sort().map((one) => ({ value: `label:${one}`, text: `${one} (version ${labels[one]})` })),
    ...offered.map((one) => ({ value: `version:${one.version}`, text: `${one.version}${one.error ? " (failed)" : ""}` })),
  ]);
}

/** Another model is chosen. */
function choose() {
  version.value = "";
  offerVersions();
  chooseVersion();
}

/** Return the version that is chosen, as listed; undefined if there is none. */
function listed() {
  const { version: number, label } = target();
  const wanted = label === undefined ? number : String(chosen().labels[label]);
  if (wanted === undefined) return available(chosen())[0];
  return chosen().versions.find((one) => String(one.version) === wanted);
}

/** Another version is chosen: show what it takes, its card and warnings, and run it again. */
async function chooseVersion() {
  const number = ++choice;
  const one = listed();
  latest += 1;
  signatures = null;
  shownState = stateOf(one);
  imageInput.hidden = tensorInput.hidden = true;
  warn(one?.warnings);
  hideCard();
  hideMap();
  snippets.replaceChildren();
  if (!available(chosen()).length || (one && one.state !== "AVAILABLE")) {
    complain(unready(one ?? chosen().versions[0]));
    return;
  }
  try {
    const found = await signaturesOf(target());
    if (number !== choice) return;
    signatures = found;
  } catch (error) {
    if (number === choice) complain(error);
    return;
  }
  const card = CARD in signatures ? cardOf(target()) : null;
  imageInput.hidden = !forImages();
  tensorInput.hidden = forImages();
  inputTitle.textContent = forImages() ? "Image" : "Inputs";
  outputTitle.textContent = forImages() ? "Classes" : "Outputs";
  clearResult();
  if (!forImages()) showForm(signatures);
  showSnippets();
  if (forImages() && images.length) run();
  const found = await card;
  if (!found || number !== choice) return;
  showCard(found);
  if (!forImages() && isUntouched()) {
    showForm(signatures, found.example);
    showSnippets();
  }
}

/** Return the error that says why a version does not serve; the next list of models may say something else. */
function unready(one) {
  const reason = one?.error || (one ? `it is ${one.state.toLowerCase()}` : "it has no version yet");
  return Object.assign(new Rejected(503, reason), { temporary: false, trace: "" });
}

function showSnippets() {
  try {
    const withKey = Boolean(key.get());
    const lines = forImages() ? imageLines(target(), images, withKey) : tensorLines(target(), filledIn(), withKey);
    showLines(snippets, lines);
  } catch {
    // A field that is being filled in: the lines stay.
  }
}

/** Ask the model, and show its answer unless something else was asked meanwhile. */
async function run() {
  if (model.disabled || !signatures) return;
  const number = ++latest;
  result.setAttribute("aria-busy", "true");
  const started = performance.now();
  const took = () => `in ${Math.round(performance.now() - started)} ms`;
  try {
    if (forImages()) {
      const shown = images;
      const response = await classify(target(), shown);
      if (number !== latest) return;
      warn(response.warnings);
      result.replaceChildren(...classesOf(response.predictions, shown));
      if (shown.length === 1 && EXPLAIN in signatures) offerMap(target(), shown[0], response.predictions[0].classes);
      facts.textContent = `${response.model}, version ${response.version}, ${took()}`;
    } else {
      const outputs = await predict(target(), filledIn(), signatures);
      if (number !== latest) return;
      result.replaceChildren(tableOf(outputs));
      facts.textContent = `${model.value}, ${took()}`;
    }
  } catch (error) {
    if (number === latest) complain(error);
  } finally {
    if (number === latest) result.removeAttribute("aria-busy");
  }
}

model.addEventListener("change", choose);
version.addEventListener("change", chooseVersion);
tensorInput.addEventListener("input", showSnippets);
tensorInput.addEventListener("submit", (event) => {
  event.preventDefault();
  run();
});
keyForm.addEventListener("submit", (event) => {
  event.preventDefault();
  key.set(keyField.value.trim());
  keyForm.hidden = true;
  listModels();
});
document.addEventListener("visibilitychange", () => document.hidden || listModels());

const take = useImages((given) => {
  images = given;
  hideMap();
  showSnippets();
  run();
});
useCamera((photo) => take([photo]), (sentence) => complain(Object.assign(new Error(sentence), { status: -1 })));
clearResult();
listModels();

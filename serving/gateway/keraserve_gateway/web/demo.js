"use strict";

const byId = (id) => document.getElementById(id);
const [model, drop, file, preview, hint, result, facts] =
  ["model", "drop", "file", "preview", "hint", "result", "facts"].map(byId);

let picture = null; // the File or Blob that is shown
let asked = 0; // only the latest question's answer is shown

function element(tag, properties, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function complain(message) {
  result.replaceChildren(element("p", { className: "wrong", role: "alert" }, message));
  facts.textContent = "";
}

/** Give the answer's JSON, or throw an Error whose message is for people. */
async function ask(path, options) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Error("The server can't be reached. Is it still running?");
  }
  const json = await answer.json().catch(() => ({}));
  if (!answer.ok) {
    const detail = json.detail || json.error || answer.statusText;
    const id = answer.headers.get("X-Request-ID");
    throw new Error(`${detail} (status ${answer.status}${id ? `, request ${id}` : ""})`);
  }
  return json;
}

async function listModels() {
  try {
    const { models } = await ask("/v1/models");
    const ready = models.filter((one) => one.versions.some((version) => version.state === "AVAILABLE"));
    model.replaceChildren(...ready.map((one) => element("option", { value: one.name }, one.name)));
    model.disabled = ready.length === 0;
    if (ready.length === 0) throw new Error("No model is being served yet. Trying again…");
    if (picture) classify();
    else if (result.querySelector(".wrong")) {
      result.replaceChildren(element("p", { className: "fine" }, "Nothing yet."));
    }
  } catch (error) {
    complain(error.message);
    setTimeout(listModels, 3000);
  }
}

function show(answer, milliseconds) {
  const { classes } = answer.predictions[0];
  result.replaceChildren(
    ...classes.map(({ label, probability }) => {
      const percent = `${(100 * probability).toFixed(1)} %`;
      const bar = element("progress", { max: 1, value: probability });
      bar.setAttribute("aria-label", `${label}: ${percent}`);
      const words = element("div", {}, element("span", {}, label), element("b", {}, percent));
      return element("div", { className: "class" }, words, bar);
    }),
  );
  facts.textContent = `${answer.model}, version ${answer.version}, in ${milliseconds} ms`;
}

async function classify() {
  if (!picture || model.disabled) return;
  const question = ++asked;
  result.setAttribute("aria-busy", "true");
  const started = performance.now();
  try {
    const path = `/v1/models/${encodeURIComponent(model.value)}/images:classify?top_k=5`;
    const headers = { "Content-Type": "application/octet-stream" };
    const answer = await ask(path, { method: "POST", headers, body: picture });
    if (question === asked) show(answer, Math.round(performance.now() - started));
  } catch (error) {
    if (question === asked) complain(error.message);
  } finally {
    if (question === asked) result.removeAttribute("aria-busy");
  }
}

function take(chosen) {
  if (!chosen) return;
  picture = chosen;
  URL.revokeObjectURL(preview.src);
  preview.src = URL.createObjectURL(chosen);
  preview.hidden = false;
  hint.hidden = true;
  drop.classList.add("full");
  classify();
}

preview.addEventListener("error", () => {
  preview.hidden = true;
  hint.hidden = false;
});
preview.addEventListener("load", () => preview.classList.toggle("small", preview.naturalWidth < 100));
file.addEventListener("change", () => take(file.files[0]));
model.addEventListener("change", classify);
document.addEventListener("paste", (event) => take(event.clipboardData.files[0]));
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  drop.classList.add("over");
});
document.addEventListener("dragleave", () => drop.classList.remove("over"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  take(event.dataTransfer.files[0]);
});

listModels();

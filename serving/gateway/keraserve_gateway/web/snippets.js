// The lines of curl and Python that do what the page does.

import { classifyPath } from "./images.js";
import { bodyOf, predictPath } from "./tensors.js";
import { element } from "./element.js";

const inShell = (text) => `'${text.replaceAll("'", "'\\''")}'`;
const inPython = (text) => JSON.stringify(text);

function curl(path, withKey, ...options) {
  const key = withKey ? ['-H "Authorization: Bearer $KERASERVE_API_KEY"'] : [];
  return ["curl --fail-with-body", ...key, ...options, inShell(location.origin + path)].join(" \\\n  ");
}

function python(call, withKey, ...more) {
  const client = `with Client(${inPython(location.origin)}) as client:`;
  const key = withKey ? "  # takes the key from KERASERVE_API_KEY" : "";
  return ["from keraserve_client import Client", "", client + key, `    ${call}`, ...more.map((line) => `    ${line}`)].join("\n");
}

/** Return the arguments that name a version or label in Python. */
function named({ version, label }) {
  if (version !== undefined) return `, version=${version}`;
  return label !== undefined ? `, label=${inPython(label)}` : "";
}

async function copy(button, pre) {
  try {
    await navigator.clipboard.writeText(pre.textContent);
  } catch {
    // No clipboard for pages over plain http: select the text, for Ctrl-C.
    getSelection().selectAllChildren(pre);
    button.textContent = "Press Ctrl-C";
    return;
  }
  button.textContent = "Copied";
  setTimeout(() => (button.textContent = "Copy"), 2000);
}

function block(id, title, text) {
  const pre = element("pre", { id, tabIndex: 0 }, element("code", {}, text));
  const button = element("button", { type: "button", className: "copy" }, "Copy");
  button.setAttribute("aria-label", `Copy the ${title} lines`);
  button.addEventListener("click", () => copy(button, pre));
  return element("figure", {}, element("figcaption", {}, title, button), pre);
}

/** Return the lines for images; an empty list stands for any image. */
export function imageLines(target, images, withKey) {
  const files = images.length ? images : [{ name: "image.jpg", type: "image/jpeg" }];
  const names = files.map((one) => one.name);
  const path = classifyPath(target);
  if (files.length > 1) {
    return {
      curl: curl(path, withKey, ...names.map((name) => `-F images=${inShell(`@${name}`)}`)),
      python: python(
        `for prediction in client.classify(${inPython(target.model)}, [${names.map(inPython).join(", ")}]${named(target)}):`,
        withKey,
        "    print(prediction.filename, prediction.best.label, prediction.best.probability)",
      ),
    };
  }
  const type = files[0].type || "application/octet-stream";
  return {
    curl: curl(path, withKey, `-H 'Content-Type: ${type}'`, `--data-binary ${inShell(`@${names[0]}`)}`),
    python: python(
      `[prediction] = client.classify(${inPython(target.model)}, ${inPython(names[0])}${named(target)})`,
      withKey,
      "for found in prediction.classes:",
      "    print(found.label, found.probability)",
    ),
  };
}

/** Return the lines for a signature that is filled in. */
export function tensorLines(target, filled, withKey) {
  const given = /['\\]/.test(filled.inputs) ? inPython(filled.inputs) : `'${filled.inputs}'`;
  const call = `client.predict(${inPython(target.model)}, inputs, ${inPython(filled.signature)}${named(target)})`;
  return {
    curl: curl(predictPath(target), withKey, "-H 'Content-Type: application/json'", `-d ${inShell(bodyOf(filled))}`),
    python: `import json\n\n${python(`inputs = json.loads(${given})`, withKey, `for name, value in ${call}.items():`, "    print(name, value)")}`,
  };
}

/** Show lines in the element `into`. */
export function showLines(into, lines) {
  into.replaceChildren(block("curl", "curl", lines.curl), block("python", "Python", lines.python));
}

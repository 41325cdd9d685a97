// The lines of curl and Python that do what the page does.

import { classifyPath } from "./requests.js";
import { element } from "./element.js";

const inShell = (text) => `'${text.replaceAll("'", "'\\''")}'`;
const inPython = (text) => JSON.stringify(text);

function curl(model, file, type, withKey) {
  const key = withKey ? ['-H "Authorization: Bearer $KERASERVE_API_KEY"'] : [];
  const lines = [`-H 'Content-Type: ${type}'`, `--data-binary ${inShell(`@${file}`)}`, inShell(location.origin + classifyPath(model))];
  return ["curl --fail-with-body", ...key, ...lines].join(" \\\n  ");
}

const python = (model, file, withKey) => `from keraserve_client import Client

with Client(${inPython(location.origin)}) as client:${withKey ? "  # takes the key from KERASERVE_API_KEY" : ""}
    [prediction] = client.classify(${inPython(model)}, ${inPython(file)})
    for found in prediction.classes:
        print(found.label, found.probability)`;

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

/** Show the lines for a model and an image (null: any) in the element `into`. */
export function showSnippets(into, model, image, withKey) {
  const file = image?.name || "image.jpg";
  const type = image?.type || "image/jpeg";
  into.replaceChildren(
    block("curl", "curl", curl(model, file, type, withKey)),
    block("python", "Python", python(model, file, withKey)),
  );
}

// Renders the parts of /openapi.json that people look for.

import { element } from "./element.js";

let schemas = {};

const resolve = (schema) => (schema && schema.$ref ? schemas[schema.$ref.split("/").pop()] : schema) || {};

/** Return an example of a schema: its own, or one made of its parts. */
function example(given, depth = 0) {
  const schema = resolve(given);
  if (schema.examples) return schema.examples[0];
  if (schema.default !== undefined) return schema.default;
  if (schema.anyOf) return example(schema.anyOf[0], depth + 1);
  if (depth > 6) return null;
  if (schema.type === "array") return [example(schema.items, depth + 1)];
  if (schema.properties) {
    const parts = Object.entries(schema.properties).map(([name, part]) => [name, example(part, depth + 1)]);
    return Object.fromEntries(parts);
  }
  return { string: "…", integer: 0, number: 0.0, boolean: true, object: {} }[schema.type] ?? null;
}

function exampleOf(content) {
  const [type, media] = Object.entries(content || {})[0] || [];
  if (!type || !/json/.test(type)) return null;
  const named = Object.values(media.examples || {})[0];
  return media.example ?? (named ? named.value : example(media.schema));
}

const block = (value) => element("pre", {}, JSON.stringify(value, null, 2));
const row = (...cells) => element("tr", {}, ...cells.map((cell) => element("td", {}, cell)));

const typeOf = (schema) => schema.type ?? (schema.anyOf ?? []).map(typeOf)[0] ?? "any";

/** Return the curl line of an operation. */
function curl(method, path, operation) {
  const types = Object.keys((operation.requestBody || {}).content || {});
  const json = types.includes("application/json") ? exampleOf(operation.requestBody.content) : null;
  const parts = ["curl"];
  if (json) parts.push(`-d '${JSON.stringify(json)}'`);
  else if (types.length) parts.push("-H 'Content-Type: image/png' --data-binary @image.png");
  else if (method !== "get") parts.push(`-X ${method.toUpperCase()}`);
  const given = Object.fromEntries((operation.parameters || []).map((one) => [one.name, example(one.schema)]));
  const filled = path.replace(/{(\w+)}/g, (whole, name) => given[name] ?? whole);
  parts.push(`'${location.origin}${filled}'`);
  return parts.join(" ");
}

function render(method, path, operation) {
  const inside = [];
  if (operation.description) inside.push(element("p", {}, operation.description));
  const parameters = operation.parameters || [];
  if (parameters.length) {
    const rows = parameters.map((one) =>
      row(element("code", {}, one.name), `${one.in}, ${typeOf(one.schema)}. ${one.description || ""}`),
    );
    inside.push(element("table", {}, ...rows));
  }
  const types = Object.keys((operation.requestBody || {}).content || {});
  if (types.length) inside.push(element("p", { className: "fine" }, `Body: ${types.join(", ")}`));
  inside.push(element("pre", {}, curl(method, path, operation)));
  const response = exampleOf((operation.responses["200"] || {}).content);
  if (response !== null) inside.push(element("p", { className: "fine" }, "Response"), block(response));
  const statuses = Object.entries(operation.responses).map(([code, one]) => row(code, one.description));
  inside.push(element("table", {}, ...statuses));
  const heading = element("summary", {}, element("span", { className: "method" }, method.toUpperCase()), " ");
  heading.append(element("code", {}, path), ` ${operation.summary || ""}`);
  return element("details", { id: operation.operationId }, heading, ...inside);
}

async function main() {
  const page = document.getElementById("api");
  const response = await fetch("/openapi.json").catch(() => null);
  if (!response?.ok) {
    page.replaceChildren(element("p", { className: "wrong", role: "alert" }, "The description can't be loaded."));
    return;
  }
  const description = await response.json();
  schemas = (description.components || {}).schemas || {};
  document.getElementById("title").textContent = `${description.info.title} ${description.info.version}`;
  const groups = new Map();
  for (const [path, operations] of Object.entries(description.paths)) {
    for (const [method, operation] of Object.entries(operations)) {
      const tag = operation.tags[0];
      groups.set(tag, [...(groups.get(tag) || []), render(method, path, operation)]);
    }
  }
  const about = element("p", { className: "fine" }, description.info.description.replaceAll("`", ""));
  const cards = [...groups].map(([tag, operations]) =>
    element("section", { className: "card" }, element("h2", {}, tag), ...operations),
  );
  page.replaceChildren(about, ...cards);
  const linked = document.getElementById(location.hash.slice(1));
  if (linked) linked.open = true;
}

main();

// Models that take other things than images: a signature as a form, its outputs as a table.

import { CARD } from "./card.js";
import { modelPath, request } from "./requests.js";
import { element } from "./element.js";

const [signature, fields] = ["signature", "fields"].map((id) => document.getElementById(id));
const LARGEST = 4096; // elements of an example that the page writes
const LONGEST = 2000; // characters of an output's value that are shown

/** Return a model's signatures by name. */
export async function signaturesOf(target) {
  return (await request(`${modelPath(target)}/metadata`)).metadata.signature_def.signature_def;
}

/** Whether the model classifies image files, as those do that Keraserve's exporter and importer write. */
export const takesImages = (signatures) => "classify" in signatures && "image_bytes" in signatures;

const NAMES = { DT_FLOAT: "float32", DT_DOUBLE: "float64", DT_HALF: "float16" };

const sizes = ({ tensor_shape: shape }) => (shape.unknown_rank ? null : shape.dim.map((one) => Number(one.size)));
const shown = (info) => {
  const dims = sizes(info)?.map((size, index) => (size >= 0 ? size : index ? "?" : "N"));
  return `${NAMES[info.dtype] ?? info.dtype.slice(3).toLowerCase()}${dims ? ` [${dims.join(", ")}]` : ", any shape"}`;
};
const zero = (dtype) => ({ DT_STRING: '"text"', DT_BOOL: "false" })[dtype] ?? "0";

/** Write an example of a tensor: dimensions of any size are 1. */
function example(dtype, dims) {
  if (!dims.length) return zero(dtype);
  const inner = example(dtype, dims.slice(1));
  return `[${Array(dims[0] < 0 ? 1 : dims[0]).fill(inner).join(", ")}]`;
}

/** Write a value of JSON with a space after each comma, as an example is written. */
const spaced = (value) => (Array.isArray(value) ? `[${value.map(spaced).join(", ")}]` : JSON.stringify(value));

/**
 * Make the field of an input; its `json()` gives the value as JSON text, or throws a sentence.
 * `given` is the value that it has at first, if there is one.
 */
function fieldOf(alias, info, given) {
  const dims = sizes(info) ?? [1];
  const count = dims.reduce((product, size) => product * Math.max(size, 1), 1);
  const inside = [element("span", {}, alias, " ", element("small", {}, shown(info)))];
  const one = sizes(info) && count === 1 && dims.length < 3 && dims[1] !== -1;
  const list = given === undefined ? (count > LARGEST ? "" : example(info.dtype, dims)) : spaced(given);
  const value = one ? String([given].flat(Infinity)[0] ?? JSON.parse(zero(info.dtype))) : list;
  const field = one
    ? element("input", { type: "text", value })
    : element("textarea", { rows: 5, spellcheck: false, value });
  if (count > LARGEST) inside.push(element("small", {}, ` ${count} values: paste them as JSON, or use Python`));
  const json = () => {
    const typed = one && info.dtype === "DT_STRING" ? JSON.stringify(field.value) : field.value.trim();
    try {
      JSON.parse(typed);
    } catch {
      throw new Error(one ? `${alias} is no ${shown(info)}` : `${alias} is no JSON`);
    }
    return one ? dims.reduce((inner) => `[${inner}]`, typed) : typed;
  };
  return { label: element("label", { className: "field" }, ...inside, field), json, isUntouched: () => field.value === value };
}

let current = {}; // the fields by input

/** Tell whether nobody has chosen a signature or typed a value yet. */
export const isUntouched = () =>
  signature.value === signature.dataset.first && Object.values(current).every((field) => field.isUntouched());

/** Offer the signatures and show the form of one; `example` is a request of one of them, from the model's card. */
export function showForm(signatures, example) {
  const names = Object.keys(signatures).filter((name) => name !== CARD && !name.startsWith("__")).sort();
  signature.replaceChildren(...names.map((name) => element("option", { value: name }, name)));
  if (names.includes("serving_default")) signature.value = "serving_default";
  signature.dataset.first = signature.value;
  signature.onchange = () => {
    const inputs = Object.entries(signatures[signature.value].inputs);
    const given = example?.signature_name === signature.value ? example.inputs : {};
    current = Object.fromEntries(inputs.map(([alias, info]) => [alias, fieldOf(alias, info, given[alias])]));
    fields.replaceChildren(...Object.values(current).map((field) => field.label));
  };
  signature.onchange();
}

/** Return the signature's name and the inputs as JSON text; throws an Error with a sentence. */
export function filledIn() {
  const inputs = Object.entries(current).map(([alias, field]) => `${JSON.stringify(alias)}: ${field.json()}`);
  return { signature: signature.value, inputs: `{${inputs.join(", ")}}` };
}

export const predictPath = (target) => `${modelPath(target)}:predict`;
export const bodyOf = (filled) => `{"signature_name": ${JSON.stringify(filled.signature)}, "inputs": ${filled.inputs}}`;

/** Run the signature; returns the outputs by name. */
export async function predict(target, filled, signatures) {
  const options = { method: "POST", headers: { "Content-Type": "application/json" }, body: bodyOf(filled) };
  const { outputs } = await request(predictPath(target), options);
  const names = Object.keys(signatures[filled.signature].outputs);
  return names.length === 1 ? { [names[0]]: outputs } : outputs; // a single output comes without its name
}

function cell(value) {
  const text = typeof value === "string" ? value : JSON.stringify(value).replaceAll(",", ", ");
  return element("td", {}, text.length > LONGEST ? `${text.slice(0, LONGEST)} …` : text);
}

/** Return a table of outputs: a line for each row, where all have as many; else a line for each output. */
export function tableOf(outputs) {
  const [names, values] = [Object.keys(outputs), Object.values(outputs)];
  const rows = values.every((value) => Array.isArray(value) && value.length === values[0].length);
  const head = rows ? names : ["output", "value"];
  const lines = rows
    ? values[0].map((_, row) => values.map((value) => cell(value[row])))
    : names.map((name, index) => [cell(name), cell(values[index])]);
  return element(
    "table",
    { className: "outputs" },
    element("thead", {}, element("tr", {}, ...head.map((name) => element("th", {}, name)))),
    element("tbody", {}, ...lines.map((cells) => element("tr", {}, ...cells))),
  );
}

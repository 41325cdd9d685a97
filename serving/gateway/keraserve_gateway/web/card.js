// The card of a model's version, as a table.

import { modelPath, request } from "./requests.js";
import { element } from "./element.js";

const [about, table] = ["about", "card"].map((id) => document.getElementById(id));
/** The signature of models that have a card. */
export const CARD = "model_card";

const LONGEST = 600; // characters of a value
const ELSEWHERE = new Set(["warnings", "example"]); // of the page

const words = (name) => name.replaceAll("_", " ");

/** Write a value for people: numbers and texts as they are, lists and objects in short. */
function text(value) {
  if (value === null || value === "") return "";
  if (Array.isArray(value)) {
    const texts = value.map(text);
    return texts.join(texts.some((one) => one.includes(", ")) ? "; " : ", ");
  }
  if (typeof value === "object") {
    return Object.entries(value).map(([name, one]) => `${words(name)}: ${text(one)}`).join("; ");
  }
  if (typeof value === "boolean") return value ? "yes" : "no";
  return Number.isInteger(value) || typeof value === "string" ? String(value) : String(Number(value.toPrecision(4)));
}

export function hideCard() {
  about.hidden = true;
}

/** Return a version's card; null if it can't be had. */
export const cardOf = (target) => request(`${modelPath(target)}/card`).catch(() => null);

export function showCard(card) {
  about.hidden = false;
  const rows = Object.entries(card).filter(([name, value]) => !ELSEWHERE.has(name) && text(value));
  table.replaceChildren(
    ...rows.map(([name, value]) => {
      const said = text(value);
      const short = said.length > LONGEST ? `${said.slice(0, LONGEST)} …` : said;
      return element("tr", {}, element("th", {}, words(name)), element("td", {}, short));
    }),
  );
}

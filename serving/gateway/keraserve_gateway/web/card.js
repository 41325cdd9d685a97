// The card of a model's version, as a table.

import { modelPath, request } from "./requests.js";
import { element } from "./element.js";

const [about, table] = ["about", "card"].map((id) => document.getElementById(id));
/** The signature of models that have a card. */
export const CARD = "model_card";

const LONGEST = 600; // characters of a value

const words = (name) => name.replaceAll("_", " ");

/** Write a value for people: numbers and texts as they are, lists and objects in short. */
function text(value) {
  if (value === null || value === "") return "";
  if (Array.isArray(value)) return value.map(text).join(", ");
  if (typeof value === "object") {
    return Object.entries(value).map(([name, one]) => `${words(name)}: ${text(one)}`).join("; ");
  }
  return String(value);
}

export function hideCard() {
  about.hidden = true;
}

/** Show a version's card, if it can be had; `isCurrent` tells whether it is still wanted. */
export async function showCard(target, isCurrent) {
  const card = await request(`${modelPath(target)}/card`).catch(() => null);
  if (!card || !isCurrent()) return;
  about.hidden = false;
  const rows = Object.entries(card).filter(([name, value]) => name !== "warnings" && text(value));
  table.replaceChildren(
    ...rows.map(([name, value]) => {
      const said = text(value);
      const short = said.length > LONGEST ? `${said.slice(0, LONGEST)} …` : said;
      return element("tr", {}, element("th", {}, words(name)), element("td", {}, short));
    }),
  );
}

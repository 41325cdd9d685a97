// What decided: a map of the places that speak for a class, laid over the image.

import { imageOptions } from "./images.js";
import { modelPath, request } from "./requests.js";
import { element } from "./element.js";

const [row, wanted, choice, canvas, said, scale] = [
  "why", "why-wanted", "why-class", "map", "why-said", "why-scale",
].map((id) => document.getElementById(id));
/** The signature of models that have maps. */
export const EXPLAIN = "explain";

const SIDE = 256; // pixels of the canvas, which is stretched over the image
const OPACITY = 0.6;
// Viridis (matplotlib, CC0): its lightness rises evenly, so that it can be read with any colour vision.
const VIRIDIS = [
  [68, 1, 84], [71, 45, 123], [59, 82, 139], [44, 114, 142], [33, 145, 140],
  [40, 174, 128], [94, 201, 98], [173, 220, 48], [253, 231, 37],
];
let latest = 0; // number of the latest request, whose map alone is shown
let shown = null; // what the map is of: a model, an image

/** Return the index below a place between 0 and `count` - 1, the one above, and the part of the way between. */
function between(place, count) {
  const inside = Math.min(Math.max(place, 0), count - 1);
  const below = Math.floor(inside);
  return [below, Math.min(below + 1, count - 1), inside - below];
}

const mixed = (one, other, part) => one + (other - one) * part;

/** Return the value of a map at a place of the image, 0 to 1 from top and left. */
function valueAt(map, top, left) {
  const [above, below, down] = between(top * map.length - 0.5, map.length);
  const [west, east, right] = between(left * map[0].length - 0.5, map[0].length);
  return mixed(mixed(map[above][west], map[above][east], right), mixed(map[below][west], map[below][east], right), down);
}

function draw(map) {
  [canvas.width, canvas.height] = [SIDE, SIDE];
  const drawing = canvas.getContext("2d");
  const pixels = drawing.createImageData(SIDE, SIDE);
  for (let pixel = 0; pixel < SIDE * SIDE; pixel += 1) {
    const value = valueAt(map, (Math.floor(pixel / SIDE) + 0.5) / SIDE, ((pixel % SIDE) + 0.5) / SIDE);
    const [low, high, part] = between(value * (VIRIDIS.length - 1), VIRIDIS.length);
    const colour = [0, 1, 2].map((channel) => mixed(VIRIDIS[low][channel], VIRIDIS[high][channel], part));
    pixels.data.set([...colour, 255 * OPACITY], 4 * pixel);
  }
  drawing.putImageData(pixels, 0, 0);
}

/** Say in words where a map has its largest value. */
function where(map) {
  const most = Math.max(...map.flat());
  if (!most) return "nothing in the image speaks for it";
  const top = map.findIndex((values) => values.includes(most));
  const third = (place, count, names) => names[Math.floor((3 * (place + 0.5)) / count)];
  const vertical = third(top, map.length, ["top", "middle", "bottom"]);
  const across = third(map[top].indexOf(most), map[top].length, ["left", "centre", "right"]);
  const centre = vertical === "middle" && across === "centre";
  return `most speaks for it in the ${centre ? "middle" : `${vertical} ${across}`} of the image`;
}

function clear() {
  latest += 1;
  canvas.hidden = true;
  canvas.parentElement.classList.remove("mapped");
  said.textContent = "";
  scale.hidden = choice.hidden = true;
}

async function show() {
  clear();
  if (!shown || !wanted.checked) return;
  const number = latest;
  choice.hidden = false;
  const query = choice.value ? `?class_label=${encodeURIComponent(choice.value)}` : "";
  try {
    const path = `${modelPath(shown.target)}/images:explain${query}`;
    const [{ label, probability, map }] = (await request(path, imageOptions([shown.image]))).explanations;
    if (number !== latest) return;
    draw(map);
    canvas.hidden = scale.hidden = false;
    canvas.parentElement.classList.add("mapped");
    said.textContent = `${label}, ${(100 * probability).toFixed(1)} %: ${where(map)}.`;
  } catch (error) {
    if (number === latest) said.textContent = [error.message, error.detail].filter(Boolean).join(" ");
  }
}

/** Offer no map: the model has none, or there is no single image. */
export function hideMap() {
  shown = null;
  row.hidden = true;
  clear();
}

/** Offer a map of an image for each of its classes, and show it if it is wanted. */
export function offerMap(target, image, classes) {
  shown = { target, image };
  row.hidden = false;
  choice.replaceChildren(...classes.map(({ label }) => element("option", { value: label }, label)));
  show();
}

scale.style.background = `linear-gradient(to right, ${VIRIDIS.map((colour) => `rgb(${colour})`)})`;
wanted.addEventListener("change", show);
choice.addEventListener("change", show);

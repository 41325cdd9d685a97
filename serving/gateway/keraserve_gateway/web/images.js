// Images: choosing some, showing them, and the classes that a model finds.

import { modelPath, request } from "./requests.js";
import { element } from "./element.js";

const [drop, file, preview, hint, name] = ["drop", "file", "preview", "hint", "name"].map((id) =>
  document.getElementById(id),
);

function size(bytes) {
  const units = ["bytes", "kB", "MB"];
  while (bytes >= 1000 && units.length > 1) [bytes] = [bytes / 1000, units.shift()];
  return `${bytes.toFixed(bytes < 10 && units[0] !== "bytes" ? 1 : 0)} ${units[0]}`;
}

function look(shown) {
  preview.hidden = !shown;
  hint.hidden = shown;
  drop.classList.toggle("full", shown);
}

/** Show the first of the chosen images, and how many others there are. */
function show(images) {
  const others = images.length > 1 ? [`and ${images.length - 1} more`] : [];
  URL.revokeObjectURL(preview.src);
  preview.src = URL.createObjectURL(images[0]);
  preview.onload = () => {
    look(true);
    preview.classList.toggle("small", preview.naturalWidth < 200);
    name.textContent = [...facts, `${preview.naturalWidth} × ${preview.naturalHeight}`, ...others].join(" · ");
  };
  preview.onerror = () => look(false);
  const facts = [images[0].name, size(images[0].size)];
  name.hidden = false;
  name.textContent = [...facts, ...others].join(" · ");
}

/** Call `take` with the images that are picked, dropped or pasted; returns a function that takes others. */
export function useImages(take) {
  const given = (files) => {
    const images = [...files];
    if (!images.length) return;
    show(images);
    take(images);
  };
  file.addEventListener("change", () => {
    given(file.files);
    file.value = ""; // so that the same file, changed, can be chosen again
  });
  document.addEventListener("paste", (event) => given(event.clipboardData.files));
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
  document.addEventListener("dragleave", (event) => event.relatedTarget || drop.classList.remove("over"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    given(event.dataTransfer.files);
  });
  return given;
}

/** The path that classifies images. */
export const classifyPath = (target) => `${modelPath(target)}/images:classify?top_k=5`;

/** Return the options of a request that sends images. */
export function imageOptions(images) {
  const options = { method: "POST", body: images[0], headers: { "Content-Type": "application/octet-stream" } };
  if (images.length > 1) {
    options.body = new FormData();
    options.headers = {};
    for (const image of images) options.body.append("images", image);
  }
  return options;
}

/** Classify images; returns the gateway's response. */
export const classify = (target, images) => request(classifyPath(target), imageOptions(images));

function bar({ label, probability }) {
  const percent = `${(100 * probability).toFixed(1)} %`;
  const progress = element("progress", { max: 1, value: probability });
  progress.setAttribute("aria-label", `${label}: ${percent}`);
  return element("div", { className: "class" }, element("span", {}, label), element("b", {}, percent), progress);
}

/** Return the elements that show the classes of each image: all of a single one, the best of several. */
export function classesOf(predictions, images) {
  if (predictions.length === 1) return predictions[0].classes.map(bar);
  return predictions.map(({ classes, error }, index) => {
    const picture = element("img", { src: URL.createObjectURL(images[index]), alt: "" });
    picture.onload = () => URL.revokeObjectURL(picture.src);
    picture.onerror = () => picture.removeAttribute("src");
    const found = classes ? bar(classes[0]) : element("p", { className: "wrong" }, error);
    return element("figure", { className: "one-of-several" }, picture, element("figcaption", {}, images[index].name), found);
  });
}

// Sends requests to the gateway, with the key if there is one, and puts its errors into words.

const WORDS = {
  400: "The model can't read this image.",
  401: "This gateway needs an API key.",
  403: "This key may not do that.",
  404: "This model is not served any more.",
  413: "This image is too large.",
  415: "This file is no image that the model can read.",
  429: "Too many requests at the moment.",
  502: "The model server can't be reached.",
  503: "The model is not ready.",
  504: "The model took too long.",
};
const TEMPORARY = new Set([0, 429, 502, 503, 504]);
const STORAGE_KEY = "keraserve-api-key"; // for this tab, until it is closed

/** The gateway's reason as a sentence of its own: there is only one image here. */
function sentence(detail) {
  const text = detail.replace(/^image 0: /, "");
  return text && `${text[0].toUpperCase()}${text.slice(1)}.`;
}

/** What went wrong: `message` and `detail` for people, `trace` for the log, `temporary` if it may be over soon. */
export class Rejected extends Error {
  constructor(status, detail = "", id = "") {
    super(status ? WORDS[status] || "The server could not respond." : "The server can't be reached. Is it still running?");
    this.status = status;
    this.temporary = TEMPORARY.has(status);
    this.detail = sentence(detail);
    this.trace = [status && `status ${status}`, id && `request ${id}`].filter(Boolean).join(" · ");
  }
}

export const key = {
  get: () => sessionStorage.getItem(STORAGE_KEY) || "",
  set: (value) => sessionStorage.setItem(STORAGE_KEY, value),
};

/** Send a request and return the JSON of its response; throws Rejected. */
export async function request(path, options = {}) {
  const headers = { ...options.headers };
  if (key.get()) headers.Authorization = `Bearer ${key.get()}`;
  let response;
  try {
    response = await fetch(path, { ...options, headers });
  } catch {
    throw new Rejected(0);
  }
  const json = await response.json().catch(() => ({}));
  if (response.ok) return json;
  throw new Rejected(response.status, json.detail || json.error || response.statusText, response.headers.get("X-Request-ID"));
}

/** The path that classifies images. */
export const classifyPath = (model) => `/v1/models/${encodeURIComponent(model)}/images:classify?top_k=5`;

// Sends requests to the gateway, with the key if there is one, and puts its errors into words.

const WORDS = {
  400: "The model can't read this.",
  401: "This gateway needs an API key.",
  403: "This key may not do that.",
  404: "This model is not served any more.",
  413: "This is too large.",
  415: "This file is no image that the model can read.",
  501: "The answer has no form in JSON.",
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

// What JSON has no number for, and a model server writes all the same; text is matched to be left alone.
const NOT_JSON = /"(?:[^"\\]|\\.)*"|-?Infinity|NaN/g;

/**
 * Parse JSON; whole numbers that JavaScript would round stay text, where the browser says what was written.
 */
const parse = (text) =>
  JSON.parse(text.replace(NOT_JSON, (part) => (part.startsWith('"') ? part : `"${part}"`)), (_, value, context) =>
    typeof value === "number" && Math.abs(value) > Number.MAX_SAFE_INTEGER && /^-?\d+$/.test(context?.source)
      ? context.source
      : value,
  );

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
  const text = await response.text();
  let json = {};
  try {
    json = parse(text);
  } catch {
    if (response.ok) throw new Rejected(502, "the response is no JSON");
  }
  if (response.ok) return json;
  throw new Rejected(response.status, json.detail || json.error || response.statusText, response.headers.get("X-Request-ID"));
}

/** The path of a model: of its newest version, or of the one that a number or a label names. */
export function modelPath({ model, version, label }) {
  const named = version !== undefined ? `/versions/${version}` : label !== undefined ? `/labels/${encodeURIComponent(label)}` : "";
  return `/v1/models/${encodeURIComponent(model)}${named}`;
}

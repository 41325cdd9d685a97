// Shows /openapi.json by Swagger UI, with the demo page's key, if there is one.

import { key } from "./requests.js";

const ui = window.SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#api",
  deepLinking: true,
  defaultModelsExpandDepth: -1,
  validatorUrl: null,
  onComplete: () => key.get() && ui.preauthorizeApiKey("header", key.get()),
});

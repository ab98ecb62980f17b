// The page to try the API: forms built from its OpenAPI description.
const MAX_OUTPUT_CHARS = 20000;

function element(name, properties = {}, ...children) {
  const node = Object.assign(document.createElement(name), properties);
  node.append(...children);
  return node;
}

function field(parameter) {
  const isArray = parameter.schema.type === "array";
  const schema = isArray ? parameter.schema.items : parameter.schema;
  const choices = schema.enum ?? (schema.type === "boolean" ? ["true", "false"] : null);
  const properties = { name: parameter.name, required: parameter.required };
  const input = choices
    ? element("select", properties, ...["", ...choices].map((c) => element("option", { value: c }, c)))
    : element("input", { ...properties, placeholder: String(schema.default ?? ""), autocomplete: "off" });
  const title = parameter.name + (parameter.required ? " *" : "");
  const help = parameter.description + (isArray ? " (separate several values with commas)" : "");
  return element("label", {}, element("span", {}, title), input, element("small", {}, help));
}

function requestUrl(path, parameters, form) {
  const query = new URLSearchParams();
  for (const parameter of parameters) {
    const value = form.elements[parameter.name].value.trim();
    const values = parameter.schema.type === "array" ? value.split(",") : [value];
    for (const item of values) if (item.trim()) query.append(parameter.name, item.trim());
  }
  const text = query.toString();
  return text ? `${path}?${text}` : path;
}

function stream(url, output) {
  const source = new EventSource(url);
  const print = (line) => { output.textContent = `${line}\n${output.textContent}`.slice(0, MAX_OUTPUT_CHARS); };
  for (const kind of ["candle", "deleted", "reset"]) {
    source.addEventListener(kind, (event) => print(`${kind} ${event.lastEventId} ${event.data}`));
  }
  source.addEventListener("error", () => print("disconnected"));
  return source;
}

async function request(url, output) {
  const response = await fetch(url);
  const text = await response.text();
  let content = text;
  if ((response.headers.get("content-type") ?? "").includes("json")) {
    content = JSON.stringify(JSON.parse(text), null, 1);
  }
  output.textContent = `${response.status} ${response.statusText}\n\n${content.slice(0, MAX_OUTPUT_CHARS)}`;
}

function operation(path, description) {
  const parameters = description.parameters ?? [];
  const output = element("pre", { hidden: true, tabIndex: 0 });
  const link = element("code");
  const form = element("form", {}, ...parameters.map(field), element("button", {}, "Try"), link);
  let events = null;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    events?.close();
    const url = requestUrl(path, parameters, form);
    link.textContent = `GET ${url}`;
    output.hidden = false;
    output.textContent = "";
    try {
      if (path === "/api/live") events = stream(url, output);
      else await request(url, output);
    } catch (error) {
      output.textContent = String(error);
    }
  });
  const more = description.description ? [element("p", {}, description.description)] : [];
  const summary = element("summary", {}, element("code", {}, path), ` ${description.summary}`);
  return element("details", {}, summary, ...more, form, output);
}

const api = await (await fetch("/api/openapi.json")).json();
for (const [path, operations] of Object.entries(api.paths)) {
  if (operations.get) document.getElementById("main").append(operation(path, operations.get));
}

// The page on which the API can be tried: forms made from its OpenAPI description.
const MOST = 20000;

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function field(parameter) {
  const many = parameter.schema.type === "array";
  const schema = many ? parameter.schema.items : parameter.schema;
  const choices = schema.enum ?? (schema.type === "boolean" ? ["true", "false"] : null);
  const properties = { name: parameter.name, required: parameter.required };
  const input = choices
    ? element("select", properties, ...["", ...choices].map((c) => element("option", { value: c }, c)))
    : element("input", { ...properties, placeholder: String(schema.default ?? ""), autocomplete: "off" });
  const title = parameter.name + (parameter.required ? " *" : "");
  const help = parameter.description + (many ? " (several: separated by commas)" : "");
  return element("label", {}, element("span", {}, title), input, element("small", {}, help));
}

function address(path, parameters, form) {
  const query = new URLSearchParams();
  for (const parameter of parameters) {
    const value = form.elements[parameter.name].value.trim();
    const values = parameter.schema.type === "array" ? value.split(",") : [value];
    for (const one of values) if (one.trim()) query.append(parameter.name, one.trim());
  }
  const text = query.toString();
  return text ? `${path}?${text}` : path;
}

function stream(url, output) {
  const source = new EventSource(url);
  const say = (line) => { output.textContent = `${line}\n${output.textContent}`.slice(0, MOST); };
  for (const kind of ["candle", "gone", "reset"]) {
    source.addEventListener(kind, (event) => say(`${kind} ${event.lastEventId} ${event.data}`));
  }
  source.addEventListener("error", () => say("not connected"));
  return source;
}

async function answer(url, output) {
  const response = await fetch(url);
  const text = await response.text();
  let shown = text;
  if ((response.headers.get("content-type") ?? "").includes("json")) {
    shown = JSON.stringify(JSON.parse(text), null, 1);
  }
  output.textContent = `${response.status} ${response.statusText}\n\n${shown.slice(0, MOST)}`;
}

function operation(path, described) {
  const parameters = described.parameters ?? [];
  const output = element("pre", { hidden: true, tabIndex: 0 });
  const link = element("code");
  const form = element("form", {}, ...parameters.map(field), element("button", {}, "Try"), link);
  let running = null;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    running?.close();
    const url = address(path, parameters, form);
    link.textContent = `GET ${url}`;
    output.hidden = false;
    output.textContent = "";
    try {
      if (path === "/api/live") running = stream(url, output);
      else await answer(url, output);
    } catch (error) {
      output.textContent = String(error);
    }
  });
  const more = described.description ? [element("p", {}, described.description)] : [];
  const summary = element("summary", {}, element("code", {}, path), ` ${described.summary}`);
  return element("details", {}, summary, ...more, form, output);
}

const described = await (await fetch("/api/openapi.json")).json();
for (const [path, operations] of Object.entries(described.paths)) {
  if (operations.get) document.getElementById("main").append(operation(path, operations.get));
}

// A prediction request as text: the body that is sent, and the same request for curl and for Python.
// Values are carried as JSON text, not as JavaScript numbers, which would change whole numbers above 2^53.

const NUMBER = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/;
const KEY_VARIABLE = "RASEN_API_KEY";

/**
 * Read JSON; whole numbers that JavaScript cannot hold stay exact where the browser can tell.
 * @param {string} text - The body of an answer.
 */
export function readJson(text) {
  return JSON.parse(text, (_, value, context) => {
    const source = context?.source;
    const isLarge = typeof value === "number" && !Number.isSafeInteger(value) && /^-?\d+$/.test(source ?? "");
    return isLarge ? BigInt(source) : value;
  });
}

/**
 * Return what a person typed as JSON text. What is no number goes out as a string: the service says what is wrong with
 * it, in its own words and at its own place, and so there is one judge only.
 * @param {string} type - The column's type.
 * @param {string} typed - What stands in the field.
 */
export function valueText(type, typed) {
  const text = typed.trim();
  if (["int64", "float64"].includes(type) && NUMBER.test(text)) return text;
  if (type === "bool" && ["true", "false"].includes(text)) return text;
  return JSON.stringify(type === "string" ? typed : text);
}

/**
 * Return the body of a request.
 * @param {Array<Array<[string, string]>>} rows - Names with values as JSON text.
 */
export function bodyText(rows) {
  const objects = rows.map((row) => `{${row.map(([name, value]) => `${JSON.stringify(name)}: ${value}`).join(", ")}}`);
  return `{"rows": [${objects.join(", ")}]}`;
}

/** Return the headers of a request; the key only if there is one. */
export function headersOf({ key, routingKey, variant, requestId }) {
  const headers = { "Content-Type": "application/json" };
  if (key) headers.Authorization = `Bearer ${key}`;
  if (routingKey) headers["X-Rasen-Routing-Key"] = routingKey;
  if (variant) headers["X-Rasen-Variant"] = variant;
  if (requestId) headers["X-Request-Id"] = requestId;
  return headers;
}

/** Return the request as a line for a shell. The key itself is not in it: lines end up in histories and tickets. */
export function curlText({ url, body, key, ...options }) {
  const lines = [`curl -sS ${quoted(url)}`];
  if (key) lines.push(`-H "Authorization: Bearer $${KEY_VARIABLE}"`);
  for (const [name, value] of Object.entries(headersOf(options))) lines.push(`-H ${quoted(`${name}: ${value}`)}`);
  return [...lines, `--data-raw ${quoted(body)}`].join(" \\\n  ");
}

/** Return the request as lines of Python. */
export function pythonText({ base, endpoint, rows, key, routingKey, variant, requestId }) {
  const options = [
    ["routing_key", routingKey],
    ["variant", variant],
    ["request_id", requestId],
  ].filter(([, value]) => value);
  const lines = key ? ["import os", ""] : [];
  const credential = key ? `, api_key=os.environ["${KEY_VARIABLE}"]` : "";
  lines.push("import rasen", "", `client = rasen.Client(${literal(base)}${credential})`, "prediction = client.predict(");
  lines.push(`    ${literal(endpoint)},`, "    [");
  for (const row of rows) {
    lines.push(`        {${row.map(([name, value]) => `${literal(name)}: ${pythonValue(value)}`).join(", ")}},`);
  }
  lines.push("    ],", ...options.map(([name, value]) => `    ${name}=${literal(value)},`), ")");
  return [...lines, "print(prediction.predictions, prediction.source)"].join("\n");
}

function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

// Each JSON string is a Python string, too.
function literal(text) {
  return JSON.stringify(text);
}

function pythonValue(text) {
  return { true: "True", false: "False", null: "None" }[text] ?? text;
}

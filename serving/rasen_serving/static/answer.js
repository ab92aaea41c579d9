// What came back, and the same request as a line for a shell and as Python.

import { copyButton, fill, make, terms } from "./page.js";
import { curlText, pythonText } from "./request.js";
import { shown } from "./form.js";

/** Show an answer; `problems` are those that belong to no field. */
export function showAnswer(panel, answer, problems) {
  const { status, headers, document: body, milliseconds } = answer;
  const good = status === 200;
  const isProfile = good && body.source === "profile";
  const facts = [
    ["model", headers.get("X-Rasen-Model")],
    ["revision", headers.get("X-Rasen-Revision")],
    ["variant", headers.get("X-Rasen-Variant")],
    ["chosen by", headers.get("X-Rasen-Reason")],
    ["round trip", `${milliseconds.toFixed(milliseconds < 10 ? 1 : 0)} ms`],
    ["request id", headers.get("X-Request-Id")],
    ["try again in", headers.has("Retry-After") ? `${headers.get("Retry-After")} s` : ""],
  ];
  panel.className = `answer ${good ? (isProfile ? "warn" : "good") : "bad"}`;
  fill(panel, good ? verdict(body, isProfile) : refusal(status, body.error ?? {}), elsewhere(problems),
    good ? predictions(body.predictions) : null, terms(facts, "dl.facts"));
}

function verdict(body, isProfile) {
  if (!isProfile) return make("p.verdict", {}, make("span.badge", {}, "model"), "The model answered.");
  return make("p.verdict", {}, make("span.badge", {}, "profile"),
    "The model could not answer: this is what its statistical profile says.");
}

function refusal(status, error) {
  const label = status ? `${status} ${error.code ?? ""}` : error.code;
  return make("p.verdict", {}, make("span.badge", {}, label), error.message ?? "");
}

function elsewhere(problems) {
  if (!problems.length) return null;
  const items = problems.map(({ path, problem }) => make("li", {}, make("code", {}, path.join(" › ")), ` ${problem}`));
  return make("ul.problems", {}, ...items);
}

function predictions(values) {
  return make("ol.predictions", { "aria-label": "Predictions, one a row" },
    ...values.map((value) => make("li", {}, ...shown(value))));
}

/** The request as text to take away. */
export class Snippets {
  constructor() {
    this.curl = make("code");
    this.python = make("code");
    this.element = make("div.snippets", {}, block("curl", "curl line", this.curl), block("Python", "Python lines", this.python));
  }

  /** Show the request that the form holds now. */
  show(request) {
    this.curl.textContent = curlText(request);
    this.python.textContent = pythonText(request);
  }
}

function block(title, what, code) {
  return make("section.snippet", {}, make("div.bar", {}, make("h4", {}, title), copyButton(code, what)),
    make("pre", { tabIndex: 0, "aria-label": title }, code));
}

// One endpoint: what it is, the form, and what it answers.

import { fill, make, terms } from "./page.js";
import { ask, currentKey } from "./service.js";
import { bodyText } from "./request.js";
import { RowsForm } from "./form.js";
import { Snippets, showAnswer } from "./answer.js";

const WAKING_SECONDS = 15;

/**
 * Show an endpoint, and return its page, null when there is none; one that sleeps is woken by being asked about.
 * @param {HTMLElement} main - Where to.
 * @param {string} name - Which.
 * @param {function(): boolean} isCurrent - Whether it is still the one that is wanted.
 */
export async function showEndpoint(main, name, isCurrent) {
  const path = `endpoints/${encodeURIComponent(name)}`;
  fill(main, make("h2", {}, name), make("p.note", { role: "status" }, "Loading…"));
  const until = performance.now() + WAKING_SECONDS * 1000;
  let answer = await ask(path);
  while (answer.document.error?.code === "loading" && performance.now() < until && isCurrent()) {
    fill(main, make("h2", {}, name), make("p.note", { role: "status" }, "It sleeps; it is being loaded for you…"));
    await new Promise((done) => setTimeout(done, 200));
    answer = await ask(path);
  }
  if (!isCurrent()) return null;
  if (answer.status !== 200) {
    const error = answer.document.error ?? {};
    fill(main, make("h2", {}, name),
      make("p.answer.bad", { role: "alert" }, make("span.badge", {}, `${answer.status || ""} ${error.code ?? ""}`), error.message ?? ""));
    return null;
  }
  const page = new EndpointPage(main, answer.document);
  page.show();
  return page;
}

class EndpointPage {
  constructor(main, detail) {
    this.main = main;
    this.detail = detail;
    this.facts = make("div");
    this.form = new RowsForm(detail.schema, detail.example.rows);
    this.panel = make("div.answer", { role: "status", hidden: true });
    this.snippets = new Snippets();
    this.send = make("button.primary", { type: "submit" }, "Predict");
    this.routingKey = option("Routing key", "X-Rasen-Routing-Key", "such as a customer's id");
    this.variant = option("Variant", "X-Rasen-Variant", "a role or a run, for testers");
    this.requestId = option("Request id", "X-Request-Id", "made up if empty");
  }

  show() {
    const another = make("button", { type: "button" }, "Add a row");
    const form = make("form", { noValidate: true, "aria-label": `Ask ${this.detail.endpoint}` },
      this.form.lists,
      this.form.element,
      make("div.options", {}, this.routingKey.element, this.variant.element, this.requestId.element),
      make("div.actions", {}, this.send, another, make("span.note", {}, "or press Enter in a field")));
    another.addEventListener("click", () => {
      this.form.add().fields[0].input.focus();
      this.refresh();
    });
    form.addEventListener("input", () => this.refresh());
    form.addEventListener("change", () => this.refresh());
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.predict();
    });
    this.showFacts();
    fill(this.main, this.facts, make("h3", {}, "Try it"), form, this.panel, make("h3", {}, "The same from elsewhere"),
      this.snippets.element);
    this.refresh();
  }

  /** Return the request that the form holds now. */
  request() {
    const path = `endpoints/${encodeURIComponent(this.detail.endpoint)}/predict`;
    const rows = this.form.texts();
    return {
      path,
      url: new URL(path, document.baseURI).href,
      base: new URL(".", document.baseURI).href.replace(/\/$/, ""),
      endpoint: this.detail.endpoint,
      rows,
      body: bodyText(rows),
      key: currentKey(),
      routingKey: this.routingKey.input.value,
      variant: this.variant.input.value,
      requestId: this.requestId.input.value,
    };
  }

  refresh() {
    this.snippets.show(this.request());
  }

  async predict() {
    if (this.send.disabled) return;
    this.form.clear();
    this.send.disabled = true;
    const { path, key, ...request } = this.request();
    const answer = await ask(path, { ...request, method: "POST" });
    this.send.disabled = false;
    const problems = this.form.showProblems(answer.document.error?.fields ?? []);
    if (answer.status === 200) {
      const { predictions, source } = answer.document;
      this.form.showPredictions(predictions, { isProfile: source === "profile" });
    }
    showAnswer(this.panel, answer, problems);
    this.panel.hidden = false;
    const revision = answer.headers.get("X-Rasen-Revision");
    if (revision !== null && revision !== String(this.detail.revision)) await this.renewFacts();
  }

  /** Another revision has gone live meanwhile: tell of that one. What was typed stays, if it still fits. */
  async renewFacts() {
    const { status, document: detail } = await ask(`endpoints/${encodeURIComponent(this.detail.endpoint)}`);
    if (status !== 200) return;
    const fits = JSON.stringify(detail.schema) === JSON.stringify(this.detail.schema);
    this.detail = detail;
    this.showFacts();
    if (!fits) {
      const renewed = new RowsForm(detail.schema, detail.example.rows);
      this.form.lists.replaceWith(renewed.lists);
      this.form.element.replaceWith(renewed.element);
      this.form = renewed;
      this.refresh();
    }
  }

  showFacts() {
    const detail = this.detail;
    fill(this.facts,
      make("h2", {}, detail.endpoint),
      make("p.description", {}, detail.description),
      terms([
        ["model", detail.model],
        ["pipeline", detail.pipeline],
        ["revision", `${detail.revision}, decided ${instant(detail.decided_at)}`],
        ["trained until", detail.trained_until && instant(detail.trained_until)],
        ["published", instant(detail.published_at)],
        ["contract", `version ${detail.major}`],
      ]),
      metrics(detail.metrics),
      detail.variants.length > 1 ? variants(detail.variants) : null,
      contract(detail.schema));
  }
}

function option(title, header, hint) {
  const id = header.toLowerCase();
  const input = make("input", { id, type: "text", autocomplete: "off", spellcheck: false, placeholder: hint });
  // A header holds printable ASCII; anything else is taken out as it is typed, so that what is shown is what is sent.
  input.addEventListener("input", () => {
    const sendable = input.value.replace(/[^\x20-\x7e]/g, "");
    if (sendable !== input.value) input.value = sendable;
  });
  return { input, element: make("div.field", {}, make("label", { for: id, title: header }, title), input) };
}

function metrics(values) {
  const pairs = Object.entries(values);
  if (!pairs.length) return null;
  const rounded = (value) => (typeof value === "number" ? Number(value.toPrecision(5)).toString() : String(value));
  return terms(pairs.map(([name, value]) => [name, rounded(value)]), "dl.metrics");
}

function variants(all) {
  const row = (one) => make("tr", {}, make("th", { scope: "row" }, one.role),
    make("td", {}, one.role === "shadow" ? `copies of ${share(one.weight)}` : share(one.weight)),
    make("td", {}, make("code", {}, one.model)));
  return make("section", {}, make("h3", {}, "Variants"), table(["Role", "Share", "Model"], all.map(row)));
}

function contract(schema) {
  const row = (column) => make("tr", {}, make("th", { scope: "row" }, column.name),
    make("td", {}, column.type + (column.nullable ? " or null" : "")),
    make("td", {}, (column.categories ?? []).map(String).join(", ")));
  const output = schema.output.kind === "scalar" ? schema.output.type
    : schema.output.columns.map((column) => `${column.name}: ${column.type}`).join(", ");
  return make("details", {}, make("summary", {}, `Schema: ${schema.inputs.length} columns in, ${output} out`),
    table(["Column", "Type", "Seen in training"], schema.inputs.map(row)));
}

function table(headings, rows) {
  const head = make("tr", {}, ...headings.map((heading) => make("th", { scope: "col" }, heading)));
  return make("div.scroll", { tabIndex: 0, role: "group", "aria-label": headings.join(", ") },
    make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows)));
}

function share(weight) {
  return `${Number((weight * 100).toPrecision(3))} %`;
}

function instant(text) {
  return text.replace("T", " ").replace(/\.\d+/, "").replace(/(Z|\+00:00)$/, " UTC");
}

// The form that asks for rows: one field a column, made from the model's schema and filled with the analyst's example.

import { make, fill } from "./page.js";
import { valueText } from "./request.js";

const KINDS = { int64: "whole number", float64: "number", string: "text", bool: "true or false", date: "date",
  timestamp: "instant" };
const PLACEHOLDERS = { date: "2013-01-31", timestamp: "2013-01-31T06:00:00Z" };
const MODES = { int64: "numeric", float64: "decimal" };
const MOST_SUGGESTIONS = 500;

/** The rows of a request as fields. */
export class RowsForm {
  /**
   * @param {object} schema - The model's inputs.
   * @param {Array<object>} examples - Rows to begin with.
   * @param {number} mostRows - So many rows of the example are shown.
   */
  constructor(schema, examples, mostRows = 3) {
    this.schema = schema;
    this.rows = [];
    this.element = make("div.rows");
    this.lists = make("div", { hidden: true }, ...schema.inputs.map((column, index) => suggestions(column, index)));
    for (const example of examples.slice(0, mostRows)) this.add(example);
    if (!this.rows.length) this.add({});
  }

  /** Add a row; without values it repeats the last one. */
  add(values = null) {
    const row = new Row(this.schema.inputs, values ?? this.rows.at(-1).values());
    row.remove.addEventListener("click", () => {
      const index = this.rows.indexOf(row);
      this.rows.splice(index, 1);
      row.element.remove();
      this.renumber();
      (this.rows[index] ?? this.rows.at(-1)).fields[0].input.focus();
      this.element.dispatchEvent(new Event("input", { bubbles: true }));
    });
    this.rows.push(row);
    this.element.append(row.element);
    this.renumber();
    return row;
  }

  renumber() {
    this.rows.forEach((row, index) => row.number(index, this.rows.length));
  }

  /** Return the rows, each as names with values as JSON text. */
  texts() {
    return this.rows.map((row) => row.fields.map((field) => [field.column.name, field.text()]));
  }

  /** Forget what the last answer said. */
  clear() {
    for (const row of this.rows) row.clear();
  }

  /** Show the predictions beside their rows; those of the profile look different. */
  showPredictions(predictions, { isProfile }) {
    this.rows.forEach((row, index) => row.showPrediction(predictions[index], isProfile));
  }

  /** Show each problem at its field, and return those that belong to none. */
  showProblems(problems) {
    const homeless = problems.filter(({ path, problem }) => {
      const [rows, index, name] = path;
      const row = rows === "rows" ? this.rows[index] : undefined;
      const field = row?.fields.find((one) => one.column.name === name);
      field?.showProblem(problem);
      return field === undefined;
    });
    this.element.querySelector("[aria-invalid=true]")?.focus();
    return homeless;
  }
}

class Row {
  constructor(columns, values) {
    this.title = make("span.row-title");
    this.prediction = make("output.prediction");
    this.remove = make("button.quiet", { type: "button" }, "Remove");
    this.fields = columns.map((column, index) => new Field(column, index, values[column.name]));
    this.element = make("fieldset.row", {},
      make("legend", {}, this.title),
      make("div.row-head", {}, this.prediction, this.remove),
      make("div.fields", {}, ...this.fields.map((field) => field.element)));
  }

  number(index, count) {
    this.title.textContent = `Row ${index + 1}`;
    this.remove.setAttribute("aria-label", `Remove row ${index + 1}`);
    this.remove.hidden = count === 1;
  }

  values() {
    return Object.fromEntries(this.fields.map((field) => [field.column.name, field.value()]));
  }

  clear() {
    fill(this.prediction);
    for (const field of this.fields) field.showProblem("");
  }

  showPrediction(prediction, isProfile) {
    if (prediction === undefined) return;
    this.prediction.className = isProfile ? "prediction warn" : "prediction";
    fill(this.prediction, make("span.arrow", { "aria-hidden": "true" }, "→"), ...shown(prediction));
  }
}

let made = 0;

class Field {
  constructor(column, index, value) {
    const id = `field-${(made += 1)}`;
    this.column = column;
    this.problem = make("p.problem", { id: `${id}-problem`, hidden: true });
    this.input = column.type === "bool" ? choice(id, column.nullable) : input(id, column, index);
    this.input.setAttribute("aria-describedby", `${id}-problem`);
    this.input.value = value === null || value === undefined ? "" : String(value);
    const label = make("label", { for: id }, column.name, make("span.kind", {}, KINDS[column.type] ?? column.type));
    this.element = make("div.field", {}, label);
    this.empty = null;
    if (column.nullable && column.type !== "bool") this.addNull(id, value === null || value === undefined);
    this.element.append(this.input, this.problem);
    this.input.addEventListener("input", () => this.showProblem(""));
  }

  /** Give the field a box that says "null". An empty text is a value, so emptiness alone cannot say it. */
  addNull(id, isNull) {
    this.empty = make("input", { type: "checkbox", id: `${id}-null`, checked: isNull });
    const hint = this.input.placeholder;
    const showHint = () => (this.input.placeholder = this.empty.checked ? "null" : hint);
    showHint();
    this.empty.addEventListener("change", () => {
      if (this.empty.checked) this.input.value = "";
      else this.input.focus();
      showHint();
    });
    this.input.addEventListener("input", () => {
      this.empty.checked = this.input.value === "" && this.column.type !== "string";
      showHint();
    });
    const label = make("label.null", { for: `${id}-null` }, this.empty, "null");
    label.title = `Send no value for ${this.column.name}`;
    this.element.append(label);
  }

  value() {
    const isNull = this.empty?.checked || (this.column.nullable && this.column.type === "bool" && !this.input.value);
    return isNull ? null : this.input.value;
  }

  text() {
    const value = this.value();
    return value === null ? "null" : valueText(this.column.type, value);
  }

  showProblem(text) {
    this.problem.textContent = text;
    this.problem.hidden = !text;
    this.input.setAttribute("aria-invalid", text ? "true" : "false");
  }
}

function input(id, column, index) {
  return make("input", {
    id,
    type: "text",
    inputMode: MODES[column.type] ?? "text",
    placeholder: PLACEHOLDERS[column.type] ?? "",
    autocomplete: "off",
    autocapitalize: "off",
    spellcheck: false,
    list: column.categories?.length ? `suggestions-${index}` : null,
  });
}

function choice(id, isNullable) {
  const options = isNullable ? ["", "true", "false"] : ["true", "false"];
  return make("select", { id }, ...options.map((value) => make("option", { value }, value || "null")));
}

function suggestions(column, index) {
  const values = (column.categories ?? []).slice(0, MOST_SUGGESTIONS);
  return make("datalist", { id: `suggestions-${index}` }, ...values.map((value) => make("option", { value: String(value) })));
}

/** Return a prediction as nodes: a value, or one for each column of the output. */
export function shown(prediction) {
  if (prediction === null || typeof prediction !== "object") return [make("strong", {}, String(prediction))];
  return Object.entries(prediction).map(([name, value]) =>
    make("span.part", {}, make("span.kind", {}, name), make("strong", {}, String(value))));
}

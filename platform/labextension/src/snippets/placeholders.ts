/**
 * Placeholders of an inserted snippet inside an editor: Tab goes to the next, what is typed appears wherever the same
 * placeholder stands, Escape or a cursor elsewhere ends it.
 *
 * A placeholder that stands in several places is several selections, so that the editor itself types in all of them.
 * `@codemirror/autocomplete` does the same, but JupyterLab does not share it: our copy would be 60 kB, and it knows
 * nothing of ranges that are already there.
 */
import {
  type ChangeDesc,
  EditorSelection,
  EditorState,
  type Extension,
  Prec,
  StateEffect,
  StateField,
  type Transaction
} from '@codemirror/state';
import { Decoration, type DecorationSet, EditorView, keymap } from '@codemirror/view';

import type { ISpan } from './catalogue';

interface IRange {
  from: number;
  to: number;
}

interface IFields {
  /** The places of each placeholder. */
  fields: readonly (readonly IRange[])[];
  active: number;
  /** Where the cursor goes after the last one. */
  end: number;
}

const begin = StateEffect.define<IFields | null>({
  map: (fields, changes) => (fields ? mapFields(fields, changes) : null)
});
const activate = StateEffect.define<number>();

const placeholders = StateField.define<IFields | null>({
  create: () => null,
  update: (value, transaction) => follow(value, transaction),
  provide: field => EditorView.decorations.from(field, decorate)
});

/** Before all other keys of the editor, but only while there are placeholders. */
const keys = Prec.highest(
  keymap.of([
    { key: 'Tab', run: view => move(view, 1) },
    { key: 'Shift-Tab', run: view => move(view, -1) },
    { key: 'Escape', run: leave }
  ])
);

/** What an editor needs before `startPlaceholders`. */
export const placeholderExtension: Extension = [placeholders, keys, EditorState.allowMultipleSelections.of(true)];

/** Begin with the placeholders of a text that stands at `offset`; return whether there are any. */
export function startPlaceholders(view: EditorView, spans: readonly ISpan[], offset: number, end: number): boolean {
  const byName = new Map<string, IRange[]>();
  for (const span of spans) {
    const ranges = byName.get(span.name) ?? [];
    ranges.push({ from: offset + span.start, to: offset + span.end });
    byName.set(span.name, ranges);
  }
  const fields = [...byName.values()];
  const [first] = fields;
  if (!first) {
    view.dispatch({ selection: { anchor: end }, scrollIntoView: true });
    return false;
  }
  view.dispatch({
    effects: begin.of({ fields, active: 0, end }),
    selection: selectionOf(first),
    scrollIntoView: true
  });
  return true;
}

/** Go to the next placeholder (1) or to the one before (-1); after the last one it is over. */
function move(view: EditorView, step: 1 | -1): boolean {
  const value = view.state.field(placeholders);
  if (!value) {
    return false;
  }
  const index = Math.max(value.active + step, 0);
  const ranges = value.fields[index];
  if (ranges) {
    view.dispatch({ effects: activate.of(index), selection: selectionOf(ranges), scrollIntoView: true });
  } else {
    view.dispatch({ effects: begin.of(null), selection: { anchor: value.end }, scrollIntoView: true });
  }
  return true;
}

/** End it; what was filled in stays. */
function leave(view: EditorView): boolean {
  if (!view.state.field(placeholders)) {
    return false;
  }
  view.dispatch({ effects: begin.of(null), selection: { anchor: view.state.selection.main.head } });
  return true;
}

function selectionOf(ranges: readonly IRange[]): EditorSelection {
  return EditorSelection.create(ranges.map(range => EditorSelection.range(range.from, range.to)));
}

function follow(value: IFields | null, transaction: Transaction): IFields | null {
  let next = value && transaction.docChanged ? mapFields(value, transaction.changes) : value;
  let isOurs = false;
  for (const effect of transaction.effects) {
    if (effect.is(begin)) {
      next = effect.value;
      isOurs = true;
    } else if (effect.is(activate) && next) {
      next = { ...next, active: effect.value };
      isOurs = true;
    }
  }
  if (!next || isOurs || !(transaction.selection || transaction.docChanged)) {
    return next;
  }
  const { from, to } = transaction.state.selection.main;
  const inside = (ranges: readonly IRange[] | undefined): boolean =>
    ranges?.some(range => range.from <= from && to <= range.to) ?? false;
  if (inside(next.fields[next.active])) {
    return next;
  }
  const other = next.fields.findIndex(inside);
  return other < 0 ? null : { ...next, active: other };
}

/** Text typed at the edge of the active placeholder belongs to it, at the edge of another it does not. */
function mapFields(value: IFields, changes: ChangeDesc): IFields {
  const fields = value.fields.map((ranges, index) => {
    const isActive = index === value.active;
    return ranges.map(range => {
      const from = changes.mapPos(range.from, isActive ? -1 : 1);
      return { from, to: Math.max(from, changes.mapPos(range.to, isActive ? 1 : -1)) };
    });
  });
  return { fields, active: value.active, end: changes.mapPos(value.end, 1) };
}

function decorate(value: IFields | null): DecorationSet {
  if (!value) {
    return Decoration.none;
  }
  const marks = value.fields.flatMap((ranges, index) =>
    ranges
      .filter(range => range.to > range.from)
      .map(range => {
        const isActive = index === value.active;
        const name = `rasen-Placeholder${isActive ? ' rasen-mod-active' : ''}`;
        return Decoration.mark({ class: name }).range(range.from, range.to);
      })
  );
  return Decoration.set(marks, true);
}

/**
 * Where in an editor a finding is. Python counts characters, the browser UTF-16 units: an emoji is one there and two here.
 */
import type { Text } from '@codemirror/state';

import type { IFinding } from './report';

export interface IRange {
  from: number;
  to: number;
}

/**
 * Return the range that a finding marks: what it names, else the word, else the line, else the first line of the cell.
 *
 * A place that does not exist (the cell changed meanwhile, a rule that miscounts) is moved to the nearest that does.
 */
export function rangeOf(finding: IFinding, doc: Text): IRange {
  if (finding.line === null) {
    return lineRange(doc, 1);
  }
  if (finding.column === null) {
    return lineRange(doc, finding.line);
  }
  const from = offsetOf(doc, finding.line, finding.column);
  if (finding.end_line !== null && finding.end_column !== null) {
    const to = offsetOf(doc, finding.end_line, finding.end_column);
    if (to > from) {
      return { from, to };
    }
  }
  return { from, to: wordEnd(doc, from) };
}

/** Return the offset of a line and a column, both from 1. */
export function offsetOf(doc: Text, line: number, column: number): number {
  const found = doc.line(Math.min(Math.max(line, 1), doc.lines));
  let offset = 0;
  for (let count = 1; count < column && offset < found.text.length; count++) {
    offset += (found.text.codePointAt(offset) ?? 0) > 0xffff ? 2 : 1;
  }
  return found.from + offset;
}

function lineRange(doc: Text, number: number): IRange {
  const line = doc.line(Math.min(Math.max(number, 1), doc.lines));
  const indent = line.text.length - line.text.trimStart().length;
  const from = line.from + (indent < line.text.length ? indent : 0);
  return { from, to: Math.max(from, line.from + line.text.trimEnd().length) };
}

function wordEnd(doc: Text, from: number): number {
  const line = doc.lineAt(from);
  const rest = line.text.slice(from - line.from);
  const word = /^[\p{L}\p{N}_]+/u.exec(rest)?.[0].length ?? (rest ? 1 : 0);
  return from + word;
}

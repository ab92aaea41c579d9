/**
 * The finding that comes next, seen from the cursor; after the last comes the first.
 */
import type { ICurrent } from './current';
import type { IFinding } from './report';

type Place = readonly [cell: number, line: number, column: number];

/** Return the next (1) or the previous (-1) finding that has a cell. */
export function neighbour({ check, panel }: ICurrent, step: 1 | -1): IFinding | null {
  const order = new Map(panel.content.widgets.map((cell, index) => [cell.model.id, index]));
  const cursor = panel.content.activeCell?.editor?.getCursorPosition();
  const here: Place = [panel.content.activeCellIndex, (cursor?.line ?? 0) + 1, (cursor?.column ?? 0) + 1];
  const placed = check.findings
    .filter(finding => finding.cell_id !== null && order.has(finding.cell_id))
    .map(finding => {
      const place: Place = [order.get(finding.cell_id ?? '') ?? 0, finding.line ?? 1, finding.column ?? 1];
      return { finding, place };
    })
    .sort((one, other) => step * compare(one.place, other.place));
  const next = placed.find(({ place }) => step * compare(place, here) > 0) ?? placed[0];
  return next?.finding ?? null;
}

function compare(one: Place, other: Place): number {
  return one[0] - other[0] || one[1] - other[1] || one[2] - other[2];
}

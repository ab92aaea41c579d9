/**
 * Bringing a mended notebook into the open one: only what differs is touched.
 *
 * So each cell keeps its own history (Ctrl+Z takes the change back), its outputs, and the cursors of whoever else
 * writes in it. What somebody changed while the server was busy is left alone.
 */
import type { ICodeCellModel } from '@jupyterlab/cells';
import type { ICell, INotebookContent } from '@jupyterlab/nbformat';
import type { INotebookModel } from '@jupyterlab/notebook';
import { JSONExt, type PartialJSONObject, type PartialJSONValue } from '@lumino/coreutils';

/** What was done: cells that are different now, and those left alone because somebody was quicker. */
export interface IApplied {
  changed: number;
  skipped: number;
}

/** Return the notebook with an id in each cell, so that before and after can be compared cell by cell. */
export function withIds(model: INotebookModel): INotebookContent {
  const content = model.toJSON() as INotebookContent;
  content.cells.forEach((cell, index) => {
    cell['id'] = model.cells.get(index).id;
  });
  if (content.nbformat === 4 && content.nbformat_minor < 5) {
    content.nbformat_minor = 5; // ids came with it; the open notebook keeps its own number
  }
  return content;
}

/** Change the open notebook from what was sent into what came back. */
export function applyChange(
  model: INotebookModel,
  before: INotebookContent,
  after: INotebookContent
): IApplied {
  const applied = { changed: 0, skipped: 0 };
  const was = new Map(before.cells.map(cell => [String(cell['id']), cell]));
  const becomes = new Map(after.cells.map(cell => [String(cell['id']), cell]));
  for (let index = model.cells.length - 1; index >= 0; index--) {
    const shared = model.sharedModel.getCell(index);
    const old = was.get(shared.getId());
    const fresh = becomes.get(shared.getId());
    if (!old) {
      continue;
    }
    const isSame = fresh !== undefined && JSONExt.deepEqual(old as PartialJSONValue, fresh as PartialJSONValue);
    if (isSame) {
      continue;
    }
    if (shared.getSource() !== sourceOf(old)) {
      applied.skipped += 1;
    } else if (fresh) {
      changeCell(model, index, old, fresh);
      applied.changed += 1;
    } else {
      model.sharedModel.deleteCell(index);
      applied.changed += 1;
    }
  }
  applied.changed += insertMissing(model, was, after.cells);
  changeMetadata(model, before.metadata, after.metadata);
  return applied;
}

function sourceOf(cell: ICell): string {
  return Array.isArray(cell.source) ? cell.source.join('') : cell.source;
}

function changeCell(model: INotebookModel, index: number, old: ICell, fresh: ICell): void {
  const shared = model.sharedModel.getCell(index);
  const source = sourceOf(fresh);
  const current = shared.getSource();
  if (source !== current) {
    const range = differing(current, source);
    // A change of its own in the history, and not part of the word that was typed a moment ago.
    (shared as { undoManager?: { stopCapturing(): void } | null }).undoManager?.stopCapturing();
    shared.updateSource(range.start, range.end, source.slice(range.start, source.length - range.tail));
  }
  if (!JSONExt.deepEqual(old.metadata as PartialJSONObject, fresh.metadata as PartialJSONObject)) {
    shared.setMetadata(fresh.metadata);
  }
  if (shared.cell_type === 'code') {
    const code = (model.cells.get(index) as ICodeCellModel).sharedModel;
    const outputs = (fresh['outputs'] ?? []) as PartialJSONValue;
    if (!JSONExt.deepEqual((old['outputs'] ?? []) as PartialJSONValue, outputs)) {
      code.setOutputs(outputs as never);
    }
    const count = (fresh['execution_count'] ?? null) as number | null;
    if (count !== (old['execution_count'] ?? null)) {
      code.execution_count = count;
    }
  }
}

/** Return what differs: from `start` on, and all but the last `tail` characters. */
function differing(current: string, source: string): { start: number; end: number; tail: number } {
  const most = Math.min(current.length, source.length);
  let start = 0;
  while (start < most && current[start] === source[start]) {
    start += 1;
  }
  let tail = 0;
  while (tail < most - start && current[current.length - 1 - tail] === source[source.length - 1 - tail]) {
    tail += 1;
  }
  return { start, end: current.length - tail, tail };
}

function insertMissing(model: INotebookModel, was: ReadonlyMap<string, ICell>, cells: readonly ICell[]): number {
  let inserted = 0;
  let place = 0;
  const indexOf = (id: string): number =>
    model.sharedModel.cells.findIndex(cell => cell.getId() === id);
  for (const cell of cells) {
    const id = String(cell['id']);
    const index = indexOf(id);
    if (index >= 0) {
      place = index + 1;
    } else if (!was.has(id)) {
      model.sharedModel.insertCell(place, cell as never);
      place += 1;
      inserted += 1;
    }
  }
  return inserted;
}

function changeMetadata(model: INotebookModel, old: PartialJSONObject, fresh: PartialJSONObject): void {
  for (const key of new Set([...Object.keys(old), ...Object.keys(fresh)])) {
    const value = fresh[key];
    if (value === undefined) {
      model.deleteMetadata(key);
    } else if (!JSONExt.deepEqual(old[key] ?? null, value)) {
      model.setMetadata(key, value);
    }
  }
}

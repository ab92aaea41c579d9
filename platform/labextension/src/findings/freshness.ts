/**
 * Which cells show results that no longer belong to the code: edited since they ran, or older than what they rest on.
 *
 * Execution counts say in which order cells ran before the notebook was opened; from then on the order is watched. A
 * kernel that restarts forgets everything, so what ran before is marked until it runs again.
 */
import type { ICellModel, ICodeCellModel } from '@jupyterlab/cells';
import type { DocumentRegistry } from '@jupyterlab/docregistry';
import type { INotebookModel } from '@jupyterlab/notebook';
import type { Kernel } from '@jupyterlab/services';
import type { TranslationBundle } from '@jupyterlab/translation';
import { Signal } from '@lumino/signaling';

import { namesOf } from './names';

const PAUSE_MS = 150;

export type OutOfDate =
  | { reason: 'edited' }
  | { reason: 'restarted' }
  /** `name` was set again, by a cell above, after this one ran. */
  | { reason: 'order'; name: string }
  /** `name` comes from a cell that is out of date itself. */
  | { reason: 'upstream'; name: string };

interface IRun {
  source: string;
  order: number;
  kernel: number;
}

/** Say why a cell is out of date. */
export function describeOutOfDate(why: OutOfDate, trans: TranslationBundle): string {
  switch (why.reason) {
    case 'edited':
      return trans.__('Edited since it ran');
    case 'restarted':
      return trans.__('Not run since the kernel was restarted');
    case 'order':
      return trans.__('Ran before "%1" was set again above', why.name);
    case 'upstream':
      return trans.__('Uses "%1" of a cell that is out of date', why.name);
  }
}

export class Freshness {
  constructor(private readonly context: DocumentRegistry.IContext<INotebookModel>) {
    void context.ready.then(() => {
      if (!context.isDisposed) {
        this.start();
      }
    });
    context.disposed.connect(() => {
      window.clearTimeout(this.timer);
      Signal.clearData(this);
    });
  }

  /** Emitted when other cells are out of date. */
  readonly changed = new Signal<this, void>(this);
  /** The cells that are out of date, by id. */
  outOfDate: ReadonlyMap<string, OutOfDate> = new Map();

  private start(): void {
    const { model, sessionContext } = this.context;
    this.watchCells();
    model.cells.changed.connect(this.watchCells, this);
    model.contentChanged.connect(this.lookSoon, this);
    sessionContext.statusChanged.connect(this.onStatus, this);
    this.lookSoon();
  }

  private watchCells(): void {
    for (const cell of this.context.model.cells) {
      if (!this.watched.has(cell)) {
        this.watched.add(cell);
        if (cell.type === 'code') {
          this.note(cell as ICodeCellModel);
          cell.stateChanged.connect(this.onState, this);
        }
      }
    }
  }

  private note(cell: ICodeCellModel): void {
    const count = cell.executionCount;
    if (count !== null && !this.runs.has(cell.id)) {
      this.runs.set(cell.id, { source: cell.sharedModel.getSource(), order: count, kernel: this.kernel });
      this.newest = Math.max(this.newest, count);
    }
  }

  private onState(cell: ICellModel, change: { name: string; newValue: unknown }): void {
    if (change.name === 'executionState' && change.newValue === 'running') {
      this.started.set(cell.id, cell.sharedModel.getSource());
    } else if (change.name === 'executionCount') {
      if (typeof change.newValue === 'number') {
        this.newest += 1;
        const source = this.started.get(cell.id) ?? cell.sharedModel.getSource();
        this.runs.set(cell.id, { source, order: this.newest, kernel: this.kernel });
      } else {
        this.runs.delete(cell.id);
      }
      this.lookSoon();
    }
  }

  private onStatus(_session: unknown, status: Kernel.Status): void {
    if (status === 'restarting' || status === 'autorestarting') {
      this.kernel += 1;
      this.lookSoon();
    }
  }

  private lookSoon(): void {
    window.clearTimeout(this.timer);
    this.timer = window.setTimeout(() => this.look(), PAUSE_MS);
  }

  private look(): void {
    if (this.context.isDisposed) {
      return;
    }
    const found = new Map<string, OutOfDate>();
    const setters = new Map<string, { order: number; isOld: boolean }>();
    for (const cell of this.context.model.cells) {
      const run = this.runs.get(cell.id);
      if (cell.type !== 'code' || !run) {
        continue;
      }
      const names = namesOf(run.source);
      const why = this.why(cell, run, names.used, setters);
      if (why) {
        found.set(cell.id, why);
      }
      const isOld = why !== null && why.reason !== 'edited';
      for (const name of names.set) {
        const order = Math.max(run.order, setters.get(name)?.order ?? 0);
        setters.set(name, { order, isOld });
      }
    }
    if (JSON.stringify([...found]) !== JSON.stringify([...this.outOfDate])) {
      this.outOfDate = found;
      this.changed.emit();
    }
  }

  private why(
    cell: ICellModel,
    run: IRun,
    used: ReadonlySet<string>,
    setters: ReadonlyMap<string, { order: number; isOld: boolean }>
  ): OutOfDate | null {
    if (run.kernel !== this.kernel) {
      return { reason: 'restarted' };
    }
    if (cell.sharedModel.getSource().trim() !== run.source.trim()) {
      return { reason: 'edited' };
    }
    for (const name of used) {
      const setter = setters.get(name);
      if (setter && setter.order > run.order) {
        return { reason: 'order', name };
      }
    }
    for (const name of used) {
      if (setters.get(name)?.isOld) {
        return { reason: 'upstream', name };
      }
    }
    return null;
  }

  private readonly watched = new WeakSet<ICellModel>();
  private readonly runs = new Map<string, IRun>();
  private readonly started = new Map<string, string>();
  private newest = 0;
  private kernel = 0;
  private timer = 0;
}

/**
 * The quiet mark beside the prompt of a cell that is out of date, in one view of a notebook.
 */
import type { Cell } from '@jupyterlab/cells';
import type { NotebookPanel } from '@jupyterlab/notebook';
import type { TranslationBundle } from '@jupyterlab/translation';

import { describeOutOfDate, type Freshness } from './freshness';

const OLD_CLASS = 'rasen-mod-outOfDate';

export class Prompts {
  constructor(
    private readonly panel: NotebookPanel,
    private readonly freshness: Freshness,
    private readonly trans: TranslationBundle
  ) {
    freshness.changed.connect(this.applyAll, this);
    panel.content.modelContentChanged.connect(this.watch, this);
    panel.disposed.connect(() => freshness.changed.disconnect(this.applyAll, this));
    this.watch();
  }

  private watch(): void {
    for (const cell of this.panel.content.widgets) {
      if (!this.watched.has(cell)) {
        this.watched.add(cell);
        cell.inViewportChanged.connect(this.apply, this);
        void cell.ready.then(() => this.apply(cell), () => undefined);
      }
    }
  }

  private applyAll(): void {
    this.panel.content.widgets.forEach(cell => this.apply(cell));
  }

  private apply(cell: Cell): void {
    if (cell.isDisposed || cell.model.type !== 'code') {
      return;
    }
    const why = this.freshness.outOfDate.get(cell.model.id);
    cell.toggleClass(OLD_CLASS, why !== undefined);
    const prompt = cell.node.querySelector<HTMLElement>('.jp-InputPrompt');
    if (prompt && why) {
      prompt.title = describeOutOfDate(why, this.trans);
    } else if (prompt?.title) {
      prompt.removeAttribute('title');
    }
  }

  private readonly watched = new WeakSet<Cell>();
}

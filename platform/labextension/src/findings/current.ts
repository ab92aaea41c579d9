/**
 * The notebook that the panel, the toolbar and the status bar speak of: the one that was looked at last.
 */
import type { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import { Signal } from '@lumino/signaling';

import type { Checks, NotebookCheck } from './check';
import { Freshness } from './freshness';

/** What is known of the notebook of one view. */
export interface ICurrent {
  panel: NotebookPanel;
  check: NotebookCheck;
  freshness: Freshness;
}

export class CurrentNotebook {
  constructor(
    private readonly tracker: INotebookTracker,
    private readonly checks: Checks
  ) {
    tracker.currentChanged.connect(this.follow, this);
    this.follow();
  }

  /** Emitted when it is another notebook, or when something else is known of it. */
  readonly changed = new Signal<this, void>(this);
  value: ICurrent | null = null;

  /** Return what is known of the notebook of a view. */
  of(panel: NotebookPanel): ICurrent {
    let freshness = this.freshness.get(panel.context);
    if (!freshness) {
      freshness = new Freshness(panel.context);
      this.freshness.set(panel.context, freshness);
    }
    return { panel, check: this.checks.of(panel.context), freshness };
  }

  private follow(): void {
    this.value?.check.changed.disconnect(this.emit, this);
    this.value?.freshness.changed.disconnect(this.emit, this);
    const panel = this.tracker.currentWidget;
    this.value = panel && !panel.isDisposed ? this.of(panel) : null;
    this.value?.check.changed.connect(this.emit, this);
    this.value?.freshness.changed.connect(this.emit, this);
    this.emit();
  }

  private emit(): void {
    this.changed.emit();
  }

  private readonly freshness = new WeakMap<object, Freshness>();
}

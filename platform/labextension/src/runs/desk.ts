/**
 * The state of the panel: the notebook in front, what is deployed of it, its runs and its interface test.
 *
 * All of it is asked from the server side, again and again while somebody looks: nothing is lost when the page is
 * closed, because nothing is kept here.
 */
import type { INotebookModel, NotebookPanel } from '@jupyterlab/notebook';
import { INotebookTracker } from '@jupyterlab/notebook';
import type { ServerConnection } from '@jupyterlab/services';
import type { IDisposable } from '@lumino/disposable';
import { Poll } from '@lumino/polling';
import { Signal, type ISignal } from '@lumino/signaling';

import { request, RequestError } from '../request';
import type { IInterfaceTest, INotebookAbout, IPlatformAbout, IRun } from './model';
import { hasEnded } from './model';

const BUSY_MS = 1000;
const IDLE_MS = 10_000;
const LONGEST_MS = 60_000;
const LOG_LINES = 1000;

/** What is to be run, as the form says it. */
export interface IWish {
  source: 'working-copy' | 'release';
  /** Values that are no text: true, false, None. */
  parameters: Record<string, boolean | null>;
  /** Texts as they were typed. */
  typed: Record<string, string>;
  deploy: boolean;
}

interface IDeskAnswer {
  platform: IPlatformAbout;
  runs: IRun[];
  awaited: IRun[];
  log: { run: string; lines: string[]; offset: number } | null;
  test: IInterfaceTest | null;
}

/** What was begun. */
export interface IBegun {
  pipeline: string;
  run: string;
  release: string;
}

/** The state behind the panel. */
export class Desk implements IDisposable {
  about: INotebookAbout | null = null;
  aboutProblem: string | null = null;
  platform: IPlatformAbout | null = null;
  runs: IRun[] = [];
  test: IInterfaceTest | null = null;
  /** Why the platform cannot be asked; `null` when it can. */
  unreachable: string | null = null;
  /** The run whose log is shown, its last lines, and how many there were in all. */
  opened: { run: string; lines: string[]; offset: number } | null = null;

  private readonly _changed = new Signal<this, void>(this);
  private readonly _ended = new Signal<this, IRun>(this);
  private readonly _poll: Poll;
  private readonly _awaited = new Set<string>();
  private _visible = false;
  private _asked = 0;

  constructor(
    private readonly _notebooks: INotebookTracker,
    readonly settings: ServerConnection.ISettings
  ) {
    this._poll = new Poll({
      name: '@rasen/labextension:runs',
      auto: false,
      factory: () => this._look(),
      frequency: { interval: IDLE_MS, backoff: 2, max: LONGEST_MS },
      // Hidden tabs and closed panels ask for nothing, unless a run is being waited for.
      standby: () => (this._visible || this._awaited.size > 0 ? 'when-hidden' : true)
    });
    _notebooks.currentChanged.connect(this._onNotebook, this);
    _notebooks.widgetAdded.connect(this._onAdded, this);
  }

  /** Emitted whenever something that is shown has changed. */
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /** Emitted when a run that was begun here has come to its end. */
  get ended(): ISignal<this, IRun> {
    return this._ended;
  }

  get isDisposed(): boolean {
    return this._poll.isDisposed;
  }

  dispose(): void {
    this._poll.dispose();
    Signal.clearData(this);
  }

  /** Begin to look, or stop: the panel is shown, or hidden. */
  set visible(visible: boolean) {
    this._visible = visible;
    if (visible) {
      void this._poll.start();
      void this.refresh();
    }
  }

  /** The notebook in front, or none. */
  get notebook(): NotebookPanel | null {
    return this._notebooks.currentWidget;
  }

  /** Ask for everything anew. */
  async refresh(): Promise<void> {
    await this._describe();
    await this._poll.refresh();
  }

  /** Describe the notebook in front; what was asked before and answers later is forgotten. */
  async describe(): Promise<INotebookAbout | null> {
    await this._describe();
    return this.about;
  }

  /** Ask the platform for a run of the notebook's pipeline. */
  async run(wish: IWish): Promise<IBegun> {
    const begun = await this._ask<IBegun>('runs', { ...this._content(), ...wish });
    this._awaited.add(begun.run);
    void this._poll.refresh();
    return begun;
  }

  /** Ask for a run to be ended. */
  async cancel(run: string): Promise<void> {
    await this._ask(`runs/${encodeURIComponent(run)}/cancel`, {});
    void this._poll.refresh();
  }

  /** Bring the output notebook of a step here and return its path. */
  async fetchOutput(run: string, step: string): Promise<string> {
    const answer = await this._ask<{ path: string }>(`runs/${encodeURIComponent(run)}/output`, { step });
    return answer.path;
  }

  /** Show the log of a run, or no log. */
  async open(run: string | null): Promise<void> {
    this.opened = run === null ? null : { run, lines: [], offset: 0 };
    this._changed.emit();
    await this._poll.refresh();
  }

  /** Begin the interface test of the notebook in front; in the background only if its sources have changed. */
  async testInterface(background = false): Promise<void> {
    const panel = this.notebook;
    if (!panel) {
      throw new RequestError('no notebook is open', 0, 'no-notebook');
    }
    if (!background && panel.context.model.dirty) {
      await panel.context.save(); // what is tested is what lies in the folder
    }
    this.test = await this._ask<IInterfaceTest>('interface-tests', { path: panel.context.path, background });
    this._changed.emit();
    void this._poll.refresh();
  }

  /** Stop the interface test. */
  async stopTest(): Promise<void> {
    await this._ask('interface-tests/stop', { path: this.notebook?.context.path });
    void this._poll.refresh();
  }

  /** Return a page that shows how the notebook differs from the deployed version's. */
  async compare(): Promise<{ title: string; html: string }> {
    return this._ask('comparison', this._content());
  }

  private async _ask<T>(route: string, body?: unknown): Promise<T> {
    return request<T>(this.settings, route, body);
  }

  /** The notebook as it is in the browser: what was not saved counts too. */
  private _content(): { path: string; content: string } {
    const panel = this.notebook;
    const model: INotebookModel | null = panel?.content.model ?? null;
    if (!panel || !model) {
      throw new RequestError('no notebook is open', 0, 'no-notebook');
    }
    return { path: panel.context.path, content: JSON.stringify(model.toJSON()) };
  }

  private _onAdded(_tracker: INotebookTracker, panel: NotebookPanel): void {
    panel.context.saveState.connect((_context, state) => {
      if (state === 'completed' && panel === this.notebook) {
        void this._describe();
      }
    });
    void panel.context.ready.then(() => {
      if (panel === this.notebook) {
        this._onNotebook();
      }
    });
  }

  private _onNotebook(): void {
    this.about = null;
    this.aboutProblem = null;
    this.platform = null;
    this.runs = [];
    this.test = null;
    this.opened = null;
    this._changed.emit();
    if (this._visible) {
      void this.refresh();
    }
  }

  private async _describe(): Promise<void> {
    const asked = ++this._asked;
    const panel = this.notebook;
    if (!panel?.context.isReady) {
      return;
    }
    let about: INotebookAbout | null = null;
    let problem: string | null = null;
    try {
      about = await this._ask<INotebookAbout>('about', this._content());
    } catch (error) {
      problem = error instanceof Error ? error.message : String(error);
    }
    if (asked === this._asked && panel === this.notebook) {
      this.about = about ?? (problem === null ? null : this.about);
      this.aboutProblem = problem;
      this._changed.emit();
    }
  }

  /** One look at the platform; what fails is shown, and tried again with growing pauses. */
  private async _look(): Promise<void> {
    const panel = this.notebook;
    const pipeline = this.about?.pipeline;
    if (!panel || !pipeline) {
      return;
    }
    if (panel.context.model.dirty) {
      await this._describe(); // what is edited is no longer what the commit says
    }
    const awaited = [...this._awaited].join(',');
    const { run: opened, offset } = this.opened ?? { run: '', offset: 0 };
    const query = new URLSearchParams({
      ...{ pipeline, path: panel.context.path, awaited, opened },
      offset: String(offset)
    });
    let answer: IDeskAnswer;
    try {
      answer = await this._ask(`desk?${query.toString()}`);
    } catch (error) {
      this.unreachable = error instanceof Error ? error.message : String(error);
      this._changed.emit();
      throw error; // the poll backs off
    }
    this.unreachable = null;
    for (const run of answer.awaited) {
      if (hasEnded(run) && this._awaited.delete(run.run)) {
        this._ended.emit(run);
      }
    }
    const busy =
      this._awaited.size > 0 || answer.runs.some(run => !hasEnded(run)) || answer.test?.state === 'running';
    this._poll.frequency = { ...this._poll.frequency, interval: busy ? BUSY_MS : IDLE_MS };
    if (panel !== this.notebook) {
      return;
    }
    this.platform = answer.platform;
    this.runs = answer.runs;
    this.test = answer.test;
    if (answer.log && this.opened?.run === answer.log.run && this.opened.offset === offset) {
      const lines = [...this.opened.lines, ...answer.log.lines].slice(-LOG_LINES);
      this.opened = { ...answer.log, lines };
    }
    this._changed.emit();
  }
}

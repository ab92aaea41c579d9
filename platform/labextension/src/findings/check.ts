/**
 * One open notebook and what the linter says about it: asked when it is opened, changed and saved, and now and then.
 *
 * A notebook has one check, however many views show it. Only the newest answer counts: whoever types on aborts the
 * question before. What the server cannot answer is asked again, less and less often, and the findings from before
 * stay, marked as old.
 */
import type { DocumentRegistry } from '@jupyterlab/docregistry';
import type { INotebookModel } from '@jupyterlab/notebook';
import type { Contents, ServerConnection } from '@jupyterlab/services';
import type { IDisposable } from '@lumino/disposable';
import { Signal } from '@lumino/signaling';

import { request, RequestError } from '../request';
import type { IFinding, IReport } from './report';

/** How long nobody may type before the question is asked, so that marks stand within 300 ms. */
const PAUSE_MS = 80;
/** A notebook that takes this long is asked about less often: twice its time, at most `LONGEST_PAUSE_MS`. */
const SLOW_MS = 500;
const LONGEST_PAUSE_MS = 10_000;
/** Output that streams for minutes is a change every moment: ask all the same. */
const LONGEST_WAIT_PAUSES = 12;
const RETRY_MS = [1_000, 2_000, 4_000, 8_000, 15_000];

export type CheckState =
  /** Nothing is known yet. */
  | 'waiting'
  | 'checked'
  /** No answer: `message` says why, and the question is asked again. */
  | 'unanswered'
  /** The server refused the notebook: `message` says why. */
  | 'refused'
  /** Its kernel does not run Python. */
  | 'foreign';

/** What was sent: the text of the notebook, and what its cells were then. */
export interface ISent {
  content: string;
  ids: readonly string[];
  sources: ReadonlyMap<string, string>;
}

export class NotebookCheck implements IDisposable {
  constructor(
    readonly context: DocumentRegistry.IContext<INotebookModel>,
    private readonly settings: ServerConnection.ISettings,
    private readonly contents: Contents.IManager
  ) {
    context.model.contentChanged.connect(this.schedule, this);
    context.model.metadataChanged.connect(this.schedule, this);
    context.saveState.connect(this.onSave, this);
    context.pathChanged.connect(this.schedule, this);
    context.disposed.connect(this.dispose, this);
    void context.ready.then(() => this.ask());
  }

  /** Emitted when the findings or the state are others. */
  readonly changed = new Signal<this, void>(this);
  state: CheckState = 'waiting';
  message = '';
  /** The server says what `message` is; else it did not answer at all. */
  said = false;
  findings: readonly IFinding[] = [];
  faults: readonly string[] = [];
  problem: string | null = null;
  /** What the findings are about. */
  sources: ReadonlyMap<string, string> = new Map();
  isDisposed = false;

  /** The path as the server side knows it, without the name of a drive. */
  get path(): string {
    return this.contents.localPath(this.context.path);
  }

  /** The findings are of an earlier moment, and nobody can tell of now. */
  get isOld(): boolean {
    return this.state !== 'checked' && this.findings.length > 0;
  }

  /** Return the notebook as it is in this moment. */
  snapshot(): ISent {
    const model = this.context.model;
    const ids: string[] = [];
    const sources = new Map<string, string>();
    for (const cell of model.cells) {
      ids.push(cell.id);
      sources.set(cell.id, cell.sharedModel.getSource());
    }
    return { content: JSON.stringify(model.toJSON()), ids, sources };
  }

  /** Ask soon, when nobody types for a moment. */
  schedule(): void {
    if (this.isDisposed) {
      return;
    }
    const pause = this.tookMs < SLOW_MS ? PAUSE_MS : Math.min(2 * this.tookMs, LONGEST_PAUSE_MS);
    const now = performance.now();
    this.firstChange ??= now;
    window.clearTimeout(this.timer);
    const wait = now - this.firstChange > LONGEST_WAIT_PAUSES * pause ? 0 : pause;
    this.timer = window.setTimeout(() => void this.ask(), wait);
  }

  /** Ask now. */
  async ask(): Promise<void> {
    window.clearTimeout(this.timer);
    this.firstChange = null;
    this.running?.abort();
    this.running = null;
    if (this.isDisposed || !this.context.isReady) {
      return;
    }
    const language = this.context.model.defaultKernelLanguage;
    if (language && !/^i?python\d*$/i.test(language)) {
      this.update('foreign', language, { findings: [], faults: [], problem: null }, new Map());
      return;
    }
    const running = new AbortController();
    this.running = running;
    const begun = performance.now();
    const sent = this.snapshot();
    try {
      const body = { path: this.path, content: sent.content };
      const report = await request<IReport>(this.settings, 'lint', body, { signal: running.signal });
      if (this.running !== running) {
        return;
      }
      this.tookMs = performance.now() - begun;
      this.failures = 0;
      const findings = report.findings.map(finding => ({
        ...finding,
        // Notebooks before nbformat 4.5 carry no ids in their text, but their cells have some here.
        cell_id: finding.cell === null ? null : (sent.ids[finding.cell] ?? null)
      }));
      this.update('checked', '', { ...report, findings }, sent.sources);
    } catch (error) {
      if (this.running !== running || this.isDisposed) {
        return;
      }
      this.fail(error);
    } finally {
      if (this.running === running) {
        this.running = null;
      }
    }
  }

  dispose(): void {
    if (this.isDisposed) {
      return;
    }
    this.isDisposed = true;
    window.clearTimeout(this.timer);
    this.running?.abort();
    this.running = null;
    Signal.clearData(this);
  }

  private fail(error: unknown): void {
    const refusal = error instanceof RequestError ? error : new RequestError(String(error), 0, 'error', true);
    if (!refusal.unreachable) {
      this.update('refused', refusal.message);
      return;
    }
    // Our server side has codes of its own; what has none comes from a proxy, or from nobody.
    this.said = refusal.status > 0 && refusal.code !== 'error';
    this.update('unanswered', refusal.message);
    const wait = RETRY_MS[Math.min(this.failures, RETRY_MS.length - 1)];
    this.failures += 1;
    this.timer = window.setTimeout(() => void this.ask(), wait);
  }

  private update(
    state: CheckState,
    message: string,
    report?: IReport,
    sources: ReadonlyMap<string, string> = this.sources
  ): void {
    this.state = state;
    this.message = message;
    if (report) {
      this.findings = report.findings;
      this.faults = report.faults;
      this.problem = report.problem;
      this.sources = sources;
    }
    this.changed.emit();
  }

  private onSave(_context: unknown, state: DocumentRegistry.SaveState): void {
    if (state.startsWith('completed')) {
      void this.ask();
    }
  }

  private timer = 0;
  private firstChange: number | null = null;
  private running: AbortController | null = null;
  private tookMs = 0;
  private failures = 0;
}

/** The checks of all open notebooks. */
export class Checks {
  constructor(
    private readonly settings: ServerConnection.ISettings,
    private readonly contents: Contents.IManager
  ) {}

  /** Return the check of a notebook; all its views share it. */
  of(context: DocumentRegistry.IContext<INotebookModel>): NotebookCheck {
    let check = this.checks.get(context);
    if (!check) {
      check = new NotebookCheck(context, this.settings, this.contents);
      this.checks.set(context, check);
    }
    return check;
  }

  private readonly checks = new WeakMap<object, NotebookCheck>();
}

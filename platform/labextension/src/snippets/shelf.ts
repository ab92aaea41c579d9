/**
 * What the panel shows: the catalogue, asked of the server side when the panel is looked at, and what is searched in it.
 */
import type { INotebookTracker } from '@jupyterlab/notebook';
import type { Contents, ServerConnection } from '@jupyterlab/services';
import { Signal } from '@lumino/signaling';

import { request, RequestError } from '../request';
import { type ICatalogue, type ISnippet, searchSnippets } from './catalogue';

const RETRY_MS = [1_000, 2_000, 4_000, 8_000, 15_000];
/** Who comes back to the panel sees what the team added meanwhile, and does not ask at every click. */
const FRESH_MS = 5_000;

export class Shelf {
  constructor(
    private readonly notebooks: INotebookTracker,
    private readonly settings: ServerConnection.ISettings,
    private readonly contents: Contents.IManager
  ) {
    notebooks.currentChanged.connect(() => {
      if (this.isWatched && this.folder() !== this.askedFor) {
        void this.load();
      } else {
        this.changed.emit();
      }
    });
  }

  /** Emitted when there is something else to show. */
  readonly changed = new Signal<this, void>(this);
  catalogue: ICatalogue | null = null;
  /** Why there is no catalogue, or an old one; empty if nothing is wrong. */
  problem = '';
  /** The problem is said by the server; else it did not answer. */
  said = false;
  words = '';
  tag = '';

  /** The snippets that match, those that cannot be inserted left out. */
  get found(): ISnippet[] {
    const whole = (this.catalogue?.snippets ?? []).filter(snippet => snippet.problem === null);
    return searchSnippets(whole, this.words, this.tag);
  }

  /** The one that is chosen: by its name, else the first that matches. */
  get chosen(): ISnippet | null {
    const { found } = this;
    return found.find(snippet => snippet.name === this.name) ?? found[0] ?? null;
  }

  choose(name: string): void {
    this.name = name;
    this.changed.emit();
  }

  /** Choose the next (1) or the previous (-1) snippet that matches. */
  move(step: number): void {
    const { found, chosen } = this;
    const index = chosen ? found.indexOf(chosen) : -1;
    const next = found[Math.min(Math.max(index + step, 0), found.length - 1)];
    if (next) {
      this.choose(next.name);
    }
  }

  search(words: string, tag: string): void {
    this.words = words;
    this.tag = tag;
    this.name = '';
    this.changed.emit();
  }

  /** Say whether anybody sees the panel; nobody is asked for a panel that is closed. */
  watch(isWatched: boolean): void {
    this.isWatched = isWatched;
    window.clearTimeout(this.timer);
    if (isWatched && (this.problem || performance.now() - this.loadedAt > FRESH_MS)) {
      void this.load();
    }
  }

  /** Ask the server side for the snippets. */
  async load(): Promise<void> {
    window.clearTimeout(this.timer);
    const folder = this.folder();
    this.askedFor = folder;
    try {
      const route = `snippets?path=${encodeURIComponent(folder)}`;
      const catalogue = await request<ICatalogue>(this.settings, route);
      if (this.askedFor !== folder) {
        return;
      }
      this.catalogue = catalogue;
      this.loadedAt = performance.now();
      this.problem = '';
      this.failures = 0;
    } catch (error) {
      if (this.askedFor !== folder) {
        return;
      }
      const refusal = error instanceof RequestError ? error : new RequestError(String(error), 0, 'error', true);
      this.problem = refusal.message;
      this.said = refusal.status > 0 && refusal.code !== 'error';
      if (this.isWatched) {
        const wait = RETRY_MS[Math.min(this.failures, RETRY_MS.length - 1)];
        this.failures += 1;
        this.timer = window.setTimeout(() => void this.load(), wait);
      }
    }
    this.changed.emit();
  }

  /** The folder whose configuration says where snippets come from: that of the notebook. */
  private folder(): string {
    const path = this.notebooks.currentWidget?.context.path ?? '';
    return this.contents.localPath(path).split('/').slice(0, -1).join('/');
  }

  private name = '';
  private askedFor: string | null = null;
  private loadedAt = -Infinity;
  private isWatched = false;
  private failures = 0;
  private timer = 0;
}

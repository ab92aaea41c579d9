/**
 * The marks in the cells of one view of a notebook: underlined places, a sign in the gutter, the sentence when hovered.
 *
 * A cell that was never in view has no editor: it gets its marks when it comes into view. While somebody types, the
 * editor moves the marks along; they are set anew when the answer to that text is there.
 */
import { type Diagnostic, lintGutter, setDiagnostics } from '@codemirror/lint';
import { EditorView } from '@codemirror/view';
import type { Cell } from '@jupyterlab/cells';
import type { CodeMirrorEditor } from '@jupyterlab/codemirror';
import type { NotebookPanel } from '@jupyterlab/notebook';
import type { TranslationBundle } from '@jupyterlab/translation';

import type { NotebookCheck } from './check';
import { rangeOf } from './positions';
import type { IFinding } from './report';

/** What the buttons of a mark do. */
export interface IMarkActions {
  fix(check: NotebookCheck, finding: IFinding): void;
  explain(finding: IFinding): void;
}

export class Marks {
  constructor(
    private readonly panel: NotebookPanel,
    private readonly check: NotebookCheck,
    private readonly actions: IMarkActions,
    private readonly trans: TranslationBundle
  ) {
    check.changed.connect(this.applyAll, this);
    panel.content.modelContentChanged.connect(this.watchSoon, this);
    panel.disposed.connect(() => check.changed.disconnect(this.applyAll, this));
    this.watchSoon();
  }

  private watchSoon(): void {
    window.cancelAnimationFrame(this.frame);
    this.frame = window.requestAnimationFrame(() => {
      if (this.panel.isDisposed) {
        return;
      }
      let isNew = false;
      for (const cell of this.panel.content.widgets) {
        if (!this.watched.has(cell)) {
          this.watched.add(cell);
          cell.inViewportChanged.connect(this.apply, this);
          void cell.ready.then(() => this.apply(cell), () => undefined);
          isNew = true;
        }
      }
      if (isNew) {
        this.applyAll();
      }
    });
  }

  private applyAll(): void {
    this.byCell = new Map();
    for (const finding of this.check.findings) {
      if (finding.cell_id !== null) {
        const group = this.byCell.get(finding.cell_id) ?? [];
        group.push(finding);
        this.byCell.set(finding.cell_id, group);
      }
    }
    for (const cell of this.panel.content.widgets) {
      this.apply(cell);
    }
  }

  private apply(cell: Cell): void {
    const editor = cell.isDisposed ? null : (cell.editor as CodeMirrorEditor | null);
    if (!editor || this.panel.isDisposed) {
      return;
    }
    const view = editor.editor;
    if (!this.equipped.has(view)) {
      this.equipped.add(view);
      // What is deleted takes its mark along: typed again, the same text has none, whatever was applied before.
      const forget = EditorView.updateListener.of(update => {
        if (update.docChanged) {
          this.applied.delete(view);
        }
      });
      editor.injectExtension([lintGutter(), forget]);
    }
    const text = view.state.doc.toString();
    const id = cell.model.id;
    // The answer is about another text: the next one is on its way, and the editor keeps what it has.
    if (this.check.sources.has(id) && this.check.sources.get(id) !== text) {
      return;
    }
    const findings = this.byCell.get(id) ?? [];
    const key = JSON.stringify([text, this.check.isOld, findings]);
    if (this.applied.get(view) === key) {
      return;
    }
    this.applied.set(view, key);
    const diagnostics = findings.map(finding => this.diagnostic(finding, view));
    view.dispatch(setDiagnostics(view.state, diagnostics));
  }

  private diagnostic(finding: IFinding, view: EditorView): Diagnostic {
    const diagnostic: Diagnostic = {
      ...rangeOf(finding, view.state.doc),
      severity: finding.severity,
      source: finding.code,
      message: finding.message,
      renderMessage: () => this.render(finding),
      actions: finding.fixable
        ? [{ name: this.trans.__('Fix'), apply: () => this.actions.fix(this.check, finding) }]
        : []
    };
    if (this.check.isOld) {
      diagnostic.markClass = 'rasen-mod-old';
    }
    return diagnostic;
  }

  private render(finding: IFinding): Node {
    const node = document.createElement('span');
    node.className = 'rasen-Mark-text';
    node.append(finding.message, ' ');
    const explain = document.createElement('button');
    explain.className = 'rasen-link';
    explain.type = 'button';
    explain.textContent = finding.code;
    explain.title = this.trans.__('Explain %1', finding.code);
    explain.setAttribute('aria-label', explain.title);
    explain.addEventListener('click', () => this.actions.explain(finding));
    node.append(explain);
    return node;
  }

  private byCell = new Map<string, IFinding[]>();
  private readonly watched = new WeakSet<Cell>();
  private readonly equipped = new WeakSet<EditorView>();
  private readonly applied = new WeakMap<EditorView, string>();
  private frame = 0;
}

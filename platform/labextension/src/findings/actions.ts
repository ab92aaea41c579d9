/**
 * What can be done about findings: go there, mend, read what the rule says.
 */
import { Dialog, Notification, showDialog } from '@jupyterlab/apputils';
import { type Cell, MarkdownCell } from '@jupyterlab/cells';
import type { CodeMirrorEditor } from '@jupyterlab/codemirror';
import type { INotebookContent } from '@jupyterlab/nbformat';
import type { NotebookPanel } from '@jupyterlab/notebook';
import type { ServerConnection } from '@jupyterlab/services';
import type { TranslationBundle } from '@jupyterlab/translation';
import { Widget } from '@lumino/widgets';

import { request } from '../request';
import { applyChange, withIds } from './apply';
import type { NotebookCheck } from './check';
import { rangeOf } from './positions';
import type { IFinding } from './report';

const NOTICE_MS = 8000;

export class FindingActions {
  constructor(
    private readonly settings: ServerConnection.ISettings,
    private readonly trans: TranslationBundle
  ) {}

  /** Mend one finding. */
  async fix(check: NotebookCheck, finding: IFinding): Promise<void> {
    await this.mend(check, [finding.code], finding.cell);
  }

  /** Mend everything that can be mended without asking anybody. */
  async fixAll(check: NotebookCheck): Promise<void> {
    await this.mend(check, null, null);
  }

  /** Show the documentation of a finding's rule. */
  async explain(finding: IFinding): Promise<void> {
    let text: string;
    try {
      const route = `explain?code=${encodeURIComponent(finding.code)}`;
      text = (await request<{ text: string }>(this.settings, route)).text;
    } catch (error) {
      text = (error as Error).message;
    }
    const body = new Widget();
    body.addClass('rasen-Explanation');
    const pre = document.createElement('pre');
    pre.textContent = text;
    pre.tabIndex = 0;
    body.node.append(pre);
    if (finding.url && /^https?:/.test(finding.url)) {
      const link = document.createElement('a');
      link.href = finding.url;
      link.target = '_blank';
      link.rel = 'noopener noreferrer';
      link.textContent = finding.url;
      body.node.append(link);
    }
    const buttons = [Dialog.okButton({ label: this.trans.__('Close') })];
    await showDialog({ title: this.trans.__('Rule %1', finding.code), body, buttons });
  }

  /** Bring a finding into view and put the cursor on it; a finding of the whole notebook leads to its top. */
  async jump(panel: NotebookPanel, finding: IFinding): Promise<void> {
    if (finding.cell_id === null) {
      panel.content.activeCellIndex = 0;
      panel.content.mode = 'command';
      panel.content.node.focus();
      return;
    }
    const cell = await this.show(panel, finding.cell_id);
    const editor = cell?.editor as CodeMirrorEditor | null | undefined;
    if (!cell || !editor) {
      return;
    }
    if (cell instanceof MarkdownCell) {
      cell.rendered = false;
    }
    const { from } = rangeOf(finding, editor.doc);
    editor.editor.dispatch({ selection: { anchor: from }, scrollIntoView: true });
    panel.content.mode = 'edit';
    editor.focus();
  }

  /** Bring a cell into view; return it, or null if it is gone. */
  async show(panel: NotebookPanel, id: string): Promise<Cell | null> {
    const notebook = panel.content;
    const index = notebook.widgets.findIndex(cell => cell.model.id === id);
    const cell = notebook.widgets[index];
    if (!cell) {
      return null;
    }
    notebook.activeCellIndex = index;
    cell.inputHidden = false;
    await notebook.scrollToCell(cell, 'auto');
    await cell.ready;
    if (!cell.inViewport) {
      // In a long notebook that was just opened the cell had no place yet, and JupyterLab gave up waiting.
      await notebook.scrollToCell(cell, 'auto');
    }
    notebook.node.focus();
    return cell;
  }

  private async mend(check: NotebookCheck, codes: string[] | null, cell: number | null): Promise<void> {
    const { model } = check.context;
    const before = withIds(model);
    let after: INotebookContent;
    try {
      const body = { path: check.path, content: JSON.stringify(before), codes, cell };
      const { content } = await request<{ content: string }>(this.settings, 'fix', body);
      after = JSON.parse(content) as INotebookContent;
    } catch (error) {
      Notification.error((error as Error).message, { autoClose: NOTICE_MS });
      return;
    }
    if (check.isDisposed) {
      return;
    }
    const applied = applyChange(model, before, after);
    void check.ask();
    this.tell(check, before, after, applied.changed, applied.skipped);
  }

  private tell(
    check: NotebookCheck,
    before: INotebookContent,
    after: INotebookContent,
    changed: number,
    skipped: number
  ): void {
    const { trans } = this;
    if (skipped > 0) {
      const said = trans._n(
        '%1 cell was edited meanwhile and is left as it is',
        '%1 cells were edited meanwhile and are left as they are',
        skipped,
        skipped
      );
      Notification.warning(said, { autoClose: NOTICE_MS });
    } else if (changed > 0) {
      const undo = {
        label: trans.__('Undo'),
        callback: () => {
          if (!check.isDisposed) {
            applyChange(check.context.model, after, before);
            void check.ask();
          }
        }
      };
      if (this.told) {
        Notification.dismiss(this.told); // its undo would take back what is not the newest any more
      }
      const said = trans._n('Mended in %1 cell', 'Mended in %1 cells', changed, changed);
      this.told = Notification.success(said, { autoClose: NOTICE_MS, actions: [undo] });
    }
  }

  private told = '';
}

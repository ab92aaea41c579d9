/**
 * Putting a snippet into a notebook: as a cell of its own, or where the cursor is. One step of undo takes it back.
 */
import { MarkdownCell } from '@jupyterlab/cells';
import type { CodeMirrorEditor } from '@jupyterlab/codemirror';
import type { NotebookPanel } from '@jupyterlab/notebook';

import type { ISnippet, ISpan } from './catalogue';
import { placeholderExtension, startPlaceholders } from './placeholders';

/** A text that fits where it is put, and its placeholders. */
interface IPiece {
  text: string;
  spans: ISpan[];
}

/** A snippet that wants a cell of its own kind, or with a tag, cannot stand within another. */
export function fitsCursor(panel: NotebookPanel, snippet: ISnippet): boolean {
  const cell = panel.content.activeCell;
  return cell?.model.type === snippet.cell_type && snippet.cell_tags.length === 0 && cell.editor !== null;
}

/** Insert a snippet as a new cell below the active one, and go to its first placeholder. */
export async function insertAsCell(panel: NotebookPanel, snippet: ISnippet): Promise<void> {
  const notebook = panel.content;
  const index = notebook.model && notebook.model.cells.length > 0 ? notebook.activeCellIndex + 1 : 0;
  const metadata = snippet.cell_tags.length > 0 ? { tags: [...snippet.cell_tags] } : {};
  const source = snippet.text.replace(/\n+$/, '');
  notebook.model?.sharedModel.insertCell(index, { cell_type: snippet.cell_type, source, metadata } as never);
  notebook.deselectAll();
  notebook.activeCellIndex = index;
  const cell = notebook.activeCell;
  if (!cell) {
    return;
  }
  await notebook.scrollToCell(cell, 'auto');
  await cell.ready;
  if (cell instanceof MarkdownCell) {
    cell.rendered = false;
  }
  start(panel, snippet.spans, 0, source.length);
}

/**
 * Insert a snippet where the cursor is, on lines of its own: a line that holds something stays whole and the snippet
 * stands below it, with the same indent.
 */
export function insertAtCursor(panel: NotebookPanel, snippet: ISnippet): void {
  const cell = panel.content.activeCell;
  const editor = cell?.editor as CodeMirrorEditor | null | undefined;
  if (!cell || !editor) {
    return;
  }
  const { state } = editor.editor;
  const line = state.doc.lineAt(state.selection.main.head);
  const indent = /^[ \t]*/.exec(line.text)?.[0] ?? '';
  const isBlank = line.text.trim() === '';
  const piece = indented(snippet, indent);
  const lead = isBlank ? '' : '\n';
  const from = isBlank ? line.from : line.to;
  const history = cell.model.sharedModel as { undoManager?: { stopCapturing(): void } | null };
  history.undoManager?.stopCapturing();
  editor.editor.dispatch({ changes: { from, to: line.to, insert: lead + piece.text }, userEvent: 'input.snippet' });
  history.undoManager?.stopCapturing();
  start(panel, piece.spans, from + lead.length, from + lead.length + piece.text.length);
}

function start(panel: NotebookPanel, spans: readonly ISpan[], offset: number, end: number): void {
  const notebook = panel.content;
  const editor = notebook.activeCell?.editor as CodeMirrorEditor | null | undefined;
  if (!editor) {
    return;
  }
  notebook.mode = 'edit';
  editor.focus();
  if (!equipped.has(editor)) {
    equipped.add(editor);
    editor.injectExtension(placeholderExtension);
  }
  startPlaceholders(editor.editor, spans, offset, end);
}

const equipped = new WeakSet<CodeMirrorEditor>();

/** Return the snippet with each line indented; its spans move along. */
function indented(snippet: ISnippet, indent: string): IPiece {
  const text = snippet.text.replace(/\n+$/, '');
  if (indent === '') {
    return { text, spans: snippet.spans };
  }
  // Empty lines stay empty, so that nobody's formatter complains.
  const moved = text.replace(/^(?=[^\n])/gm, indent);
  const shift = (offset: number): number => {
    const before = text.slice(0, offset).split('\n');
    const full = before.slice(0, -1).filter(line => line !== '').length;
    return offset + indent.length * (full + 1);
  };
  const spans = snippet.spans.map(span => ({ ...span, start: shift(span.start), end: shift(span.end) }));
  return { text: moved, spans };
}

/**
 * A panel of snippets to search, look at and insert.
 */
import { ILayoutRestorer, type JupyterFrontEnd, type JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { INotebookTracker, type NotebookPanel } from '@jupyterlab/notebook';
import { ITranslator } from '@jupyterlab/translation';

import { insertAsCell, insertAtCursor } from './insert';
import { type ITarget, SnippetsPanel } from './panel';
import { Shelf } from './shelf';

export const snippetsPlugin: JupyterFrontEndPlugin<void> = {
  id: '@rasen/labextension:snippets',
  description: 'A panel of snippets to search, look at and insert.',
  autoStart: true,
  requires: [INotebookTracker, ITranslator],
  optional: [ILayoutRestorer, ICommandPalette],
  activate
};

function activate(
  app: JupyterFrontEnd,
  notebooks: INotebookTracker,
  translator: ITranslator,
  restorer: ILayoutRestorer | null,
  palette: ICommandPalette | null
): void {
  const trans = translator.load('rasen');
  const { contents, serverSettings } = app.serviceManager;
  const shelf = new Shelf(notebooks, serverSettings, contents);
  const into = (insert: (panel: NotebookPanel) => unknown): void => {
    const panel = notebooks.currentWidget;
    if (panel) {
      app.shell.activateById(panel.id);
      void insert(panel);
    }
  };
  const target: ITarget = {
    get current() {
      return notebooks.currentWidget;
    },
    insertAsCell: snippet => into(panel => insertAsCell(panel, snippet)),
    insertAtCursor: snippet => into(panel => insertAtCursor(panel, snippet))
  };
  const panel = new SnippetsPanel(shelf, target, trans);
  app.shell.add(panel, 'left', { rank: 450 });
  restorer?.add(panel, panel.id);
  notebooks.activeCellChanged.connect(() => shelf.changed.emit());

  const describedBy = { args: { type: 'object', properties: {} } } as const;
  const add = (id: string, label: string, execute: () => void, isEnabled = (): boolean => true): void => {
    app.commands.addCommand(`rasen-snippets:${id}`, { label, execute, isEnabled, describedBy });
  };
  const open = (): void => {
    app.shell.activateById(panel.id);
    panel.focusSearch();
  };
  const hasNotebook = (): boolean => notebooks.currentWidget !== null && shelf.chosen !== null;
  const insertChosen = (): void => {
    if (shelf.chosen) {
      target.insertAsCell(shelf.chosen);
    }
  };
  add('open', trans.__('Search Snippets'), open);
  add('insert', trans.__('Insert the Chosen Snippet as a Cell'), insertChosen, hasNotebook);
  for (const command of ['rasen-snippets:open', 'rasen-snippets:insert']) {
    palette?.addItem({ command, category: trans.__('Rasen') });
  }
}

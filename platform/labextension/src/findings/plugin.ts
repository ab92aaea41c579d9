/**
 * Marks what the linter finds in the cells, and lists it in a panel.
 */
import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { INotebookTracker } from '@jupyterlab/notebook';
import { ITranslator } from '@jupyterlab/translation';

export const findingsPlugin: JupyterFrontEndPlugin<void> = {
  id: '@rasen/labextension:findings',
  description: 'Marks what the linter finds in the cells, and lists it in a panel.',
  autoStart: true,
  requires: [INotebookTracker, ITranslator],
  activate: (_app: JupyterFrontEnd, _notebooks: INotebookTracker, _translator: ITranslator): void => {}
};

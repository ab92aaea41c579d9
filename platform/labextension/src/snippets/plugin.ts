/**
 * A panel of snippets to search, look at and insert.
 */
import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { INotebookTracker } from '@jupyterlab/notebook';
import { ITranslator } from '@jupyterlab/translation';

export const snippetsPlugin: JupyterFrontEndPlugin<void> = {
  id: '@rasen/labextension:snippets',
  description: 'A panel of snippets to search, look at and insert.',
  autoStart: true,
  requires: [INotebookTracker, ITranslator],
  activate: (_app: JupyterFrontEnd, _notebooks: INotebookTracker, _translator: ITranslator): void => {}
};

/**
 * Runs this notebook in the platform, tests its interface, and shows what is deployed of it.
 */
import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { INotebookTracker } from '@jupyterlab/notebook';
import { ITranslator } from '@jupyterlab/translation';

export const runsPlugin: JupyterFrontEndPlugin<void> = {
  id: '@rasen/labextension:runs',
  description: 'Runs this notebook in the platform, tests its interface, and shows what is deployed of it.',
  autoStart: true,
  requires: [INotebookTracker, ITranslator],
  activate: (_app: JupyterFrontEnd, _notebooks: INotebookTracker, _translator: ITranslator): void => {}
};

/**
 * Runs this notebook in the platform, tests its interface, and shows what is deployed of it.
 */
import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import {
  ICommandPalette,
  IFrame,
  MainAreaWidget,
  Notification,
  showErrorMessage
} from '@jupyterlab/apputils';
import { IDocumentManager } from '@jupyterlab/docmanager';
import { INotebookTracker } from '@jupyterlab/notebook';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { ITranslator, type TranslationBundle } from '@jupyterlab/translation';

import { Desk, type IBegun } from './desk';
import { askForRun, toWish, type IFormState } from './form';
import { checkIcon, runIcon } from '@jupyterlab/ui-components';
import { comparisonIcon, runsIcon } from '../icons';
import type { IRun } from './model';
import { shortRun } from './model';
import { COMMANDS, RunsPanel } from './panel';

const ID = '@rasen/labextension:runs';

export const runsPlugin: JupyterFrontEndPlugin<void> = {
  id: ID,
  description: 'Runs this notebook in the platform, tests its interface, and shows what is deployed of it.',
  autoStart: true,
  requires: [INotebookTracker, ITranslator],
  optional: [IDocumentManager, ICommandPalette, ISettingRegistry],
  activate
};

function activate(
  app: JupyterFrontEnd,
  notebooks: INotebookTracker,
  translator: ITranslator,
  documents: IDocumentManager | null,
  palette: ICommandPalette | null,
  registry: ISettingRegistry | null
): void {
  const trans = translator.load('rasen');
  const desk = new Desk(notebooks, app.serviceManager.serverSettings);
  const show = (): void => {
    if (!panel.isAttached) {
      app.shell.add(panel, 'right', { rank: 600, type: 'Rasen' });
    }
    app.shell.activateById(panel.id);
  };
  const attempt = async (title: string, action: () => Promise<void>): Promise<void> => {
    try {
      await action();
    } catch (error) {
      await showErrorMessage(title, error instanceof Error ? error.message : String(error));
    }
  };
  const panel = new RunsPanel(
    desk,
    {
      commands: app.commands,
      cancel: run => attempt(trans.__('The run could not be cancelled'), () => desk.cancel(run)),
      stopTest: () => attempt(trans.__('The interface test could not be stopped'), () => desk.stopTest()),
      openOutput: (run, step) =>
        attempt(trans.__('The notebook could not be opened'), async () => {
          const path = await desk.fetchOutput(run, step);
          documents?.openOrReveal(path);
        })
    },
    trans,
    translator.languageCode
  );
  panel.id = 'rasen-runs';
  panel.title.icon = runsIcon;
  panel.title.caption = trans.__('Rasen: runs, interface test, deployment');
  app.shell.add(panel, 'right', { rank: 600, type: 'Rasen' });

  const isOpen = (): boolean => notebooks.currentWidget !== null;
  app.commands.addCommand(COMMANDS.show, {
    label: trans.__('Show Runs of This Notebook'),
    caption: trans.__('Runs, interface test and deployment of this notebook'),
    icon: runsIcon,
    execute: show
  });
  app.commands.addCommand(COMMANDS.run, {
    label: trans.__('Run as Batch…'),
    caption: trans.__('Run this notebook’s pipeline in the platform, not in your server'),
    icon: runIcon,
    isEnabled: isOpen,
    execute: () =>
      attempt(trans.__('The run could not be started'), async () => {
        show();
        const begun = await runAsBatch(desk, trans);
        if (begun) {
          Notification.info(trans.__('Run %1 of %2 was asked for', shortRun(begun.run), begun.pipeline), {
            autoClose: 4000
          });
        }
      })
  });
  app.commands.addCommand(COMMANDS.test, {
    label: trans.__('Interface Test'),
    caption: trans.__('Run on the declared sample and check the contract; nothing is published'),
    icon: checkIcon,
    isEnabled: isOpen,
    execute: () =>
      attempt(trans.__('The interface test could not be started'), async () => {
        show();
        await desk.testInterface();
      })
  });
  app.commands.addCommand(COMMANDS.compare, {
    label: trans.__('Compare with Deployed'),
    caption: trans.__('What differs between this notebook and that of the version that answers now'),
    icon: comparisonIcon,
    isEnabled: isOpen,
    execute: () =>
      attempt(trans.__('The comparison could not be made'), async () => {
        const { title, html } = await desk.compare();
        app.shell.add(comparison(title, html), 'main', { mode: 'tab-after' });
      })
  });
  for (const command of Object.values(COMMANDS)) {
    palette?.addItem({ command, category: 'Rasen' });
  }
  desk.ended.connect((_desk, run) => notify(run, trans, show));
  testAfterSave(desk, notebooks, registry);
}

/** Ask for parameters until the platform takes them, or the person gives up. */
async function runAsBatch(desk: Desk, trans: TranslationBundle): Promise<IBegun | null> {
  const about = await desk.describe();
  if (about === null) {
    throw new Error(desk.aboutProblem ?? trans.__('The notebook could not be read.'));
  }
  if (about.pipeline === null || about.problem !== null) {
    throw new Error(
      about.problem ??
        trans.__('This notebook belongs to no pipeline: put a pipeline.yaml with name, owner and steps beside it.')
    );
  }
  let state: IFormState = { source: 'working-copy', deploy: false, entered: {}, problem: null };
  for (;;) {
    const filled = await askForRun(about, desk.platform, state, trans);
    if (filled === null) {
      return null;
    }
    try {
      return await desk.run(toWish(filled));
    } catch (error) {
      state = { ...filled, problem: error instanceof Error ? error.message : String(error) };
    }
  }
}

function comparison(title: string, html: string): MainAreaWidget<IFrame> {
  // Outputs of notebooks are hostile: an origin of its own, and no script may run in it.
  const frame = new IFrame({ sandbox: [] });
  frame.node.querySelector('iframe')?.setAttribute('srcdoc', html);
  const widget = new MainAreaWidget({ content: frame });
  widget.title.label = title;
  widget.title.icon = comparisonIcon;
  widget.title.closable = true;
  return widget;
}

function notify(run: IRun, trans: TranslationBundle, show: () => void): void {
  const text = trans.__('Run %1 of %2: %3', shortRun(run.run), run.pipeline, run.state.replaceAll('_', ' '));
  const options = { actions: [{ label: trans.__('Show'), callback: show }] };
  if (run.state === 'succeeded') {
    Notification.success(text, { ...options, autoClose: 8000 });
  } else {
    Notification.error(run.error === null ? text : `${text}: ${run.error}`, { ...options, autoClose: false });
  }
}

/** After a save, test in the background when the setting says so. */
function testAfterSave(desk: Desk, notebooks: INotebookTracker, registry: ISettingRegistry | null): void {
  let wanted = false;
  registry
    ?.load(ID)
    .then(settings => {
      const read = (): void => {
        wanted = settings.get('testAfterSave').composite === true;
      };
      settings.changed.connect(read);
      read();
    })
    .catch((error: unknown) => console.warn('the settings of Rasen could not be read', error));
  notebooks.widgetAdded.connect((_tracker, panel) => {
    panel.context.saveState.connect((_context, state) => {
      if (state === 'completed' && wanted && panel === notebooks.currentWidget && desk.about?.step) {
        desk.testInterface(true).catch((error: unknown) => console.info('no interface test after this save:', error));
      }
    });
  });
}

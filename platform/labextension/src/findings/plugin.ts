/**
 * Marks what the linter finds in the cells, and lists it in a panel.
 */
import { ILabShell, ILayoutRestorer, type JupyterFrontEnd, type JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { INotebookTracker, type NotebookPanel } from '@jupyterlab/notebook';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { IStatusBar } from '@jupyterlab/statusbar';
import { ITranslator } from '@jupyterlab/translation';

import { FindingActions } from './actions';
import { FindingsBadge } from './badge';
import { Checks } from './check';
import { CurrentNotebook } from './current';
import { Marks } from './marks';
import { neighbour } from './neighbour';
import { FindingsPanel } from './panel';
import { Prompts } from './prompts';

const PLUGIN = '@rasen/labextension:findings';
const DEFAULT_SECONDS = 60;

export const findingsPlugin: JupyterFrontEndPlugin<void> = {
  id: PLUGIN,
  description: 'Marks what the linter finds in the cells, and lists it in a panel.',
  autoStart: true,
  requires: [INotebookTracker, ITranslator],
  optional: [ILabShell, ILayoutRestorer, ICommandPalette, IStatusBar, ISettingRegistry],
  activate
};

function activate(
  app: JupyterFrontEnd,
  notebooks: INotebookTracker,
  translator: ITranslator,
  labShell: ILabShell | null,
  restorer: ILayoutRestorer | null,
  palette: ICommandPalette | null,
  statusBar: IStatusBar | null,
  settings: ISettingRegistry | null
): void {
  const trans = translator.load('rasen');
  const { contents, serverSettings } = app.serviceManager;
  const checks = new Checks(serverSettings, contents);
  const current = new CurrentNotebook(notebooks, checks);
  const actions = new FindingActions(serverSettings, trans);
  const panel = new FindingsPanel(current, actions, trans);
  const open = (): void => {
    app.shell.activateById(panel.id);
    panel.focusList();
  };

  const equip = (notebook: NotebookPanel): void => {
    const { check, freshness } = current.of(notebook);
    new Marks(notebook, check, actions, trans);
    new Prompts(notebook, freshness, trans);
    const badge = new FindingsBadge(check.changed, () => check, open, trans);
    notebook.toolbar.insertBefore('spacer', 'rasen-findings', badge);
  };
  notebooks.forEach(equip);
  notebooks.widgetAdded.connect((_, notebook) => equip(notebook));

  app.shell.add(panel, 'right', { rank: 450 });
  restorer?.add(panel, panel.id);
  statusBar?.registerStatusItem('rasen-findings', {
    item: new FindingsBadge(current.changed, () => current.value?.check ?? null, open, trans),
    align: 'left',
    rank: 40,
    isActive: () => current.value !== null && (labShell?.currentWidget ?? null) === current.value.panel,
    ...(labShell ? { activeStateChanged: labShell.currentChanged as never } : {})
  });

  addCommands(app, palette, current, actions, open, translator);
  void checkNowAndThen(current, settings);
}

function addCommands(
  app: JupyterFrontEnd,
  palette: ICommandPalette | null,
  current: CurrentNotebook,
  actions: FindingActions,
  open: () => void,
  translator: ITranslator
): void {
  const trans = translator.load('rasen');
  const go = (step: 1 | -1): void => {
    const finding = current.value && neighbour(current.value, step);
    if (current.value && finding) {
      void actions.jump(current.value.panel, finding);
    }
  };
  const commands: Record<string, [string, () => void]> = {
    'rasen-findings:open': [trans.__('Show Findings'), open],
    'rasen-findings:check': [trans.__('Check Notebook'), () => void current.value?.check.ask()],
    'rasen-findings:next': [trans.__('Go to Next Finding'), () => go(1)],
    'rasen-findings:previous': [trans.__('Go to Previous Finding'), () => go(-1)],
    'rasen-findings:fix-all': [
      trans.__('Fix All Findings That Are Safe to Fix'),
      () => {
        if (current.value) {
          void actions.fixAll(current.value.check);
        }
      }
    ]
  };
  for (const [id, [label, execute]] of Object.entries(commands)) {
    const isEnabled = (): boolean => id === 'rasen-findings:open' || current.value !== null;
    const describedBy = { args: { type: 'object', properties: {} } } as const;
    app.commands.addCommand(id, { label, execute, isEnabled, describedBy });
    palette?.addItem({ command: id, category: trans.__('Rasen') });
  }
  current.changed.connect(() => app.commands.notifyCommandChanged('rasen-findings:check'));
}

/** Rules look at more than the notebook (its pipeline, its neighbours), so that ask again even if nobody types. */
async function checkNowAndThen(current: CurrentNotebook, registry: ISettingRegistry | null): Promise<void> {
  let timer = 0;
  const start = (seconds: number): void => {
    window.clearInterval(timer);
    if (seconds > 0) {
      timer = window.setInterval(() => {
        if (!document.hidden && current.value?.panel.isVisible && current.value.check.state === 'checked') {
          void current.value.check.ask();
        }
      }, seconds * 1000);
    }
  };
  const settings = await registry?.load(PLUGIN).catch(() => null);
  const read = (): void => start((settings?.get('everySeconds').composite as number | undefined) ?? DEFAULT_SECONDS);
  settings?.changed.connect(read);
  read();
}

/**
 * The panel: what this notebook is in the platform, its interface test, its runs.
 */
import { ReactWidget } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { CommandRegistry } from '@lumino/commands';
import type { Message } from '@lumino/messaging';
import * as React from 'react';

import type { Desk } from './desk';
import { InterfaceTest } from './interfaceTest';
import type { INotebookAbout, IPlatformAbout } from './model';
import { instant, shortRun } from './model';
import { Run } from './runView';

/** The commands that the panel offers, by their ids. */
export const COMMANDS = {
  show: 'rasen:show-runs',
  run: 'rasen:run-as-batch',
  test: 'rasen:test-interface',
  compare: 'rasen:compare-with-deployed'
} as const;

/** What the panel asks of whoever made it. */
export interface IActions {
  commands: CommandRegistry;
  openOutput: (run: string, step: string) => Promise<void>;
  cancel: (run: string) => Promise<void>;
  stopTest: () => Promise<void>;
}

/** The panel in the side bar. */
export class RunsPanel extends ReactWidget {
  constructor(
    private readonly _desk: Desk,
    private readonly _actions: IActions,
    private readonly _trans: TranslationBundle,
    private readonly _locale: string
  ) {
    super();
    this.addClass('rasen-Runs');
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', _trans.__('Rasen runs'));
    this._desk.changed.connect(this.update, this);
  }

  protected override onAfterShow(message: Message): void {
    super.onAfterShow(message);
    this._desk.visible = true;
  }

  protected override onAfterHide(message: Message): void {
    super.onAfterHide(message);
    this._desk.visible = false;
  }

  protected override render(): React.JSX.Element {
    const desk = this._desk;
    const trans = this._trans;
    if (desk.notebook === null) {
      return <p className="rasen-Runs-empty">{trans.__('Open a notebook to see how it runs in the platform.')}</p>;
    }
    if (desk.about === null) {
      return <p className="rasen-Runs-empty">{desk.aboutProblem ?? trans.__('Reading the notebook …')}</p>;
    }
    const about = desk.about;
    return (
      <>
        <header>
          <h2>{about.pipeline ?? desk.notebook.title.label}</h2>
          <p className="rasen-Runs-quiet">{standing(about, trans)}</p>
        </header>
        {desk.aboutProblem !== null && <Problem text={desk.aboutProblem} />}
        {about.problem !== null && <Problem text={about.problem} />}
        {desk.unreachable !== null && (
          <Problem text={trans.__('The platform does not answer: %1 It is asked again.', sentence(desk.unreachable))} />
        )}
        {about.pipeline !== null && (
          <>
            <Buttons commands={this._actions.commands} />
            <Deployed about={about} platform={desk.platform} trans={trans} locale={this._locale} />
            {desk.test !== null && (
              <InterfaceTest test={desk.test} onStop={this._actions.stopTest} trans={trans} />
            )}
            <section aria-label={trans.__('Runs')}>
              <h3>{trans.__('Runs')}</h3>
              {desk.runs.length === 0 && <p className="rasen-Runs-quiet">{trans.__('This pipeline has not run yet.')}</p>}
              <ul className="rasen-Runs-list">
                {desk.runs.map(run => (
                  <Run
                    key={run.run}
                    run={run}
                    log={desk.opened?.run === run.run ? desk.opened.lines.join('\n') : null}
                    onOpen={open => void desk.open(open ? run.run : null)}
                    onCancel={() => void this._actions.cancel(run.run)}
                    onOutput={step => void this._actions.openOutput(run.run, step)}
                    trans={trans}
                    locale={this._locale}
                  />
                ))}
              </ul>
            </section>
          </>
        )}
      </>
    );
  }
}

function sentence(text: string): string {
  return /[.!?。]$/.test(text) ? text : `${text}.`;
}

function standing(about: INotebookAbout, trans: TranslationBundle): string {
  const parts: string[] = [];
  if (about.pipeline === null) {
    parts.push(trans.__('belongs to no pipeline: there is no pipeline.yaml beside it'));
  } else if (about.step !== null) {
    parts.push(trans.__('step %1', about.step));
  } else if (about.role === 'gate') {
    parts.push(trans.__('notebook of a gate'));
  } else {
    parts.push(trans.__('not named in pipeline.yaml'));
  }
  if (about.commit !== null) {
    const commit = about.commit.slice(0, 12);
    parts.push(
      about.changed.length === 0
        ? trans.__('as commit %1', commit)
        : trans._n('commit %2, one file changed', 'commit %2, %1 files changed', about.changed.length, commit)
    );
  }
  return parts.join(' · ');
}

function Problem({ text }: { text: string }): React.JSX.Element {
  return (
    <p className="rasen-Runs-problem" role="status">
      {text}
    </p>
  );
}

function Buttons({ commands }: { commands: CommandRegistry }): React.JSX.Element {
  return (
    <div className="rasen-Runs-buttons">
      {[COMMANDS.run, COMMANDS.test, COMMANDS.compare].map(id => (
        <button
          key={id}
          type="button"
          className={`jp-mod-styled ${id === COMMANDS.run ? 'jp-mod-accept' : 'jp-mod-minimal'}`}
          disabled={!commands.isEnabled(id)}
          title={commands.caption(id)}
          onClick={() => void commands.execute(id)}
        >
          {commands.label(id)}
        </button>
      ))}
    </div>
  );
}

interface IDeployedProps {
  about: INotebookAbout;
  platform: IPlatformAbout | null;
  trans: TranslationBundle;
  locale: string;
}

function Deployed({ about, platform, trans, locale }: IDeployedProps): React.JSX.Element | null {
  if (platform === null) {
    return null;
  }
  const live = platform.live;
  return (
    <section aria-label={trans.__('Deployed')}>
      <h3>{trans.__('Deployed')}</h3>
      {live === null || live.versions.length === 0 ? (
        <p className="rasen-Runs-quiet">
          {platform.registered
            ? trans.__('Registered as %1; no version of it answers yet.', platform.release ?? '')
            : trans.__('Not registered: a merge into main does that.')}
        </p>
      ) : (
        <dl>
          <dt>{trans.__('endpoint')}</dt>
          <dd>{live.endpoint}</dd>
          {live.versions.map(version => (
            <React.Fragment key={version.run}>
              <dt>{version.role}</dt>
              <dd title={version.run}>
                {shortRun(version.run)}
                {version.release !== null && <> · {version.release}</>}
                {version.commit !== null && version.commit === about.commit && about.changed.length === 0 && (
                  <> · {trans.__('what you see here')}</>
                )}
              </dd>
            </React.Fragment>
          ))}
          <dt>{trans.__('since')}</dt>
          <dd>{instant(live.since_at, locale)}</dd>
          <dt>{trans.__('why')}</dt>
          <dd className="rasen-Runs-reason">
            {live.action}, {live.actor}: {live.reason}
          </dd>
          {live.held !== null && (
            <>
              <dt>{trans.__('waiting')}</dt>
              <dd>{live.held}</dd>
            </>
          )}
        </dl>
      )}
    </section>
  );
}

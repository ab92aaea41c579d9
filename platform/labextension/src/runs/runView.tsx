/**
 * One run in the list: its state, its steps as they go, and when opened its log and its notebooks.
 */
import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import type { IRun, IStep } from './model';
import { duration, hasEnded, instant, shortRun } from './model';

interface IProps {
  run: IRun;
  /** The last lines of its log when it is opened, else `null`. */
  log: string | null;
  onOpen: (open: boolean) => void;
  onCancel: () => void;
  onOutput: (step: string) => void;
  trans: TranslationBundle;
  locale: string;
}

/** Show a run; a click, Enter or Space opens it. */
export function Run(props: IProps): React.JSX.Element {
  const { run, log, onOpen, onCancel, onOutput, trans, locale } = props;
  const isOpen = log !== null;
  const metrics = Object.entries(run.metrics).slice(0, 4);
  return (
    <li className="rasen-Runs-run" data-run={run.run} data-state={run.state}>
      <button
        type="button"
        className="rasen-Runs-head"
        aria-expanded={isOpen}
        title={run.run}
        onClick={() => onOpen(!isOpen)}
      >
        <span className={`rasen-Runs-verdict jp-mod-${run.state}`}>{stateWord(run, trans)}</span>
        <code>{shortRun(run.run)}</code>
        <span className="rasen-Runs-quiet">
          {instant(run.started_at, locale)} {duration(run.seconds)}
        </span>
      </button>
      <p className="rasen-Runs-quiet">{origin(run, trans)}</p>
      {!hasEnded(run) &&
        run.steps.map(step => <Progress key={step.step} step={step} trans={trans} />)}
      {run.error !== null && <p className="rasen-Runs-problem">{run.error}</p>}
      {isOpen && (
        <div className="rasen-Runs-opened">
          {metrics.length > 0 && (
            <dl>
              {metrics.map(([name, value]) => (
                <React.Fragment key={name}>
                  <dt>{name}</dt>
                  <dd>{value.toPrecision(4)}</dd>
                </React.Fragment>
              ))}
            </dl>
          )}
          <div className="rasen-Runs-buttons">
            {run.steps
              .filter(step => step.has_notebook)
              .map(step => (
                <button
                  key={step.step}
                  type="button"
                  className="jp-mod-styled jp-mod-minimal"
                  onClick={() => onOutput(step.step)}
                >
                  {trans.__('Notebook of %1', step.step)}
                </button>
              ))}
            {!hasEnded(run) && (
              <button type="button" className="jp-mod-styled jp-mod-warn" onClick={onCancel}>
                {trans.__('Cancel')}
              </button>
            )}
          </div>
          <pre className="rasen-Runs-log" tabIndex={0} aria-label={trans.__('Log of run %1', shortRun(run.run))}>
            {log || trans.__('nothing has been printed')}
          </pre>
        </div>
      )}
    </li>
  );
}

function Progress({ step, trans }: { step: IStep; trans: TranslationBundle }): React.JSX.Element {
  const label =
    !step.cells // not begun, or its notebook is not read yet
      ? `${step.step}: ${step.state}`
      : trans.__('%1: cell %2 of %3', step.step, step.cell ?? 0, step.cells);
  return (
    <div className="rasen-Runs-progress">
      <label>
        {label} {duration(step.seconds)}
        <progress max={step.cells || 1} value={!step.cells ? Number(step.state === 'succeeded') : (step.cell ?? 0)} />
      </label>
      {step.line && <code className="rasen-Runs-line">{step.line}</code>}
    </div>
  );
}

function origin(run: IRun, trans: TranslationBundle): string {
  const parts = [
    run.origin === 'workspace' ? trans.__('working copy %1', run.release) : trans.__('release %1', run.release)
  ];
  if (run.origin === 'workspace' && run.commit !== null) {
    parts.push(
      run.changed.length === 0
        ? trans.__('as commit %1', run.commit.slice(0, 12))
        : trans.__('commit %1 and changes in %2', run.commit.slice(0, 12), run.changed.join(', '))
    );
  }
  if (run.by !== null) {
    parts.push(trans.__('by %1', run.by));
  }
  return parts.join(' · ');
}

function stateWord(run: IRun, trans: TranslationBundle): string {
  switch (run.state) {
    case 'waiting':
      return run.place !== null && run.place > 1 ? trans.__('waiting, %1 ahead', run.place - 1) : trans.__('waiting');
    case 'cancelling':
      return trans.__('being cancelled');
    case 'running':
      return trans.__('running');
    case 'succeeded':
      return trans.__('succeeded');
    case 'failed':
      return trans.__('failed');
    case 'cancelled':
      return trans.__('cancelled');
    default:
      return run.state.replaceAll('_', ' '); // the verdicts by their own names
  }
}

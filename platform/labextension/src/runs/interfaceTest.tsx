/**
 * The interface test: what was checked and what came of it.
 */
import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import type { ICheck, IInterfaceTest } from './model';
import { duration } from './model';

const MARKS: Record<ICheck['outcome'], string> = { running: '…', pass: '✓', fail: '✗', skip: '–' };

interface IProps {
  test: IInterfaceTest;
  onStop: () => Promise<void>;
  trans: TranslationBundle;
}

/** Show the newest interface test: failures in full, what passed in one line that opens. */
export function InterfaceTest({ test, onStop, trans }: IProps): React.JSX.Element {
  const telling = test.checks.filter(check => check.outcome === 'fail' || check.outcome === 'running');
  const quiet = test.checks.filter(check => !telling.includes(check));
  return (
    <section aria-label={trans.__('Interface test')}>
      <h3>
        {trans.__('Interface test')} <span className={`rasen-Runs-verdict jp-mod-${test.state}`}>{word(test, trans)}</span>
        {test.seconds !== null && <span className="rasen-Runs-quiet"> {duration(test.seconds)}</span>}
        {test.state === 'running' && (
          <button type="button" className="rasen-Runs-link" onClick={() => void onStop()}>
            {trans.__('stop')}
          </button>
        )}
      </h3>
      {test.message !== null && (
        <p className="rasen-Runs-problem" role="status">
          {test.message}
        </p>
      )}
      <ul className="rasen-Runs-checks" aria-live="polite">
        {telling.map(check => (
          <Check key={`${check.step ?? ''}/${check.name}`} check={check} />
        ))}
      </ul>
      {quiet.length > 0 && (
        <details>
          <summary>{trans.__('%1 checks passed or not needed', quiet.length)}</summary>
          <ul className="rasen-Runs-checks">
            {quiet.map(check => (
              <Check key={`${check.step ?? ''}/${check.name}`} check={check} />
            ))}
          </ul>
        </details>
      )}
    </section>
  );
}

function Check({ check }: { check: ICheck }): React.JSX.Element {
  return (
    <li className={`jp-mod-${check.outcome}`}>
      <span className="rasen-Runs-mark" aria-label={check.outcome}>
        {MARKS[check.outcome]}
      </span>
      <span>
        {check.step !== null && <>{check.step}: </>}
        {check.name}
        {check.message && <span className="rasen-Runs-quiet"> {check.message}</span>}
      </span>
    </li>
  );
}

function word(test: IInterfaceTest, trans: TranslationBundle): string {
  switch (test.state) {
    case 'running':
      return trans.__('running');
    case 'passed':
      return trans.__('passed');
    case 'failed':
      return trans.__('failed');
    case 'cancelled':
      return trans.__('stopped');
    default:
      return trans.__('could not be run');
  }
}

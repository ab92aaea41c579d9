/**
 * The panel in the right side bar: what the linter finds in the notebook, cell by cell.
 */
import { ReactWidget, refreshIcon, UseSignal } from '@jupyterlab/ui-components';
import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import { findingsIcon } from '../icons';
import { moveFocus } from '../rows';
import type { FindingActions } from './actions';
import type { CurrentNotebook, ICurrent } from './current';
import { describeOutOfDate } from './freshness';
import { countFindings, describeCounts, groupByCell, type IFinding, type IGroup, type Severity } from './report';
import { describeState } from './state';

/** More rows than anybody reads; a browser with ten thousand of them stands still. */
const MOST_ROWS = 400;

interface IProps {
  actions: FindingActions;
  trans: TranslationBundle;
}

export class FindingsPanel extends ReactWidget {
  constructor(
    private readonly current: CurrentNotebook,
    private readonly actions: FindingActions,
    private readonly trans: TranslationBundle
  ) {
    super();
    this.id = 'rasen-findings';
    this.title.icon = findingsIcon;
    this.title.caption = trans.__('Findings');
    this.addClass('rasen-Panel');
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', trans.__('Findings'));
  }

  /** Put the focus on the first row, for who comes by the keyboard. */
  focusList(): void {
    const row = this.node.querySelector<HTMLElement>('.rasen-Row-main') ?? this.node.querySelector('button');
    row?.focus();
  }

  protected render(): React.JSX.Element {
    return (
      <UseSignal signal={this.current.changed}>
        {() => <Content current={this.current.value} actions={this.actions} trans={this.trans} />}
      </UseSignal>
    );
  }
}

function Content({ current, actions, trans }: IProps & { current: ICurrent | null }): React.JSX.Element {
  const [hidden, setHidden] = React.useState<ReadonlySet<Severity>>(new Set());
  if (!current) {
    return (
      <>
        <h2 className="rasen-Panel-title">{trans.__('Findings')}</h2>
        <p className="rasen-Panel-empty">{trans.__('Open a notebook to see what the linter finds in it.')}</p>
      </>
    );
  }
  const { check, panel } = current;
  const counts = countFindings(check.findings);
  const shown = check.findings.filter(finding => !hidden.has(finding.severity));
  const order = panel.content.widgets.map(cell => cell.model.id);
  const fixable = check.findings.filter(finding => finding.fixable).length;
  const toggle = (severity: Severity): void => {
    const next = new Set(hidden);
    if (!next.delete(severity)) {
      next.add(severity);
    }
    setHidden(next);
  };
  return (
    <>
      <header className="rasen-Panel-header">
        <h2 className="rasen-Panel-title">{trans.__('Findings')}</h2>
        <span className="rasen-Panel-subject" title={check.context.path}>
          {check.path.split('/').at(-1)}
        </span>
        <button
          className="rasen-iconButton"
          title={trans.__('Check again')}
          aria-label={trans.__('Check again')}
          onClick={() => void check.ask()}
        >
          <refreshIcon.react tag="span" width="14px" height="14px" />
        </button>
      </header>
      <div className="rasen-Panel-tools" role="group" aria-label={trans.__('Show')}>
        <Toggle
          severity="error"
          label={trans._n('%1 error', '%1 errors', counts.errors, counts.errors)}
          isOn={!hidden.has('error')}
          toggle={toggle}
        />
        <Toggle
          severity="warning"
          label={trans._n('%1 warning', '%1 warnings', counts.warnings, counts.warnings)}
          isOn={!hidden.has('warning')}
          toggle={toggle}
        />
        <button
          className="rasen-button"
          disabled={fixable === 0 || check.state !== 'checked'}
          title={trans.__('Make all safe changes; each can be undone')}
          onClick={() => void actions.fixAll(check)}
        >
          {trans.__('Fix all (%1)', fixable)}
        </button>
      </div>
      <State current={current} trans={trans} />
      <div
        className={`rasen-Panel-body${check.isOld ? ' rasen-mod-old' : ''}`}
        onKeyDown={event => moveFocus(event, '.rasen-Row-main')}
      >
        {groupByCell(shown.slice(0, MOST_ROWS), order).map(group => (
          <Group
            key={group.id ?? ''}
            group={group}
            place={group.id === null ? -1 : order.indexOf(group.id)}
            current={current}
            actions={actions}
            trans={trans}
          />
        ))}
        {shown.length > MOST_ROWS && (
          <p className="rasen-Panel-empty">{trans.__('… and %1 more', shown.length - MOST_ROWS)}</p>
        )}
      </div>
      <OutOfDateCells current={current} order={order} trans={trans} actions={actions} />
    </>
  );
}

interface IToggleProps {
  severity: Severity;
  label: string;
  isOn: boolean;
  toggle: (severity: Severity) => void;
}

function Toggle({ severity, label, isOn, toggle }: IToggleProps): React.JSX.Element {
  return (
    <button className="rasen-chip" data-severity={severity} aria-pressed={isOn} onClick={() => toggle(severity)}>
      {label}
    </button>
  );
}

function State({ current, trans }: { current: ICurrent; trans: TranslationBundle }): React.JSX.Element {
  const { check } = current;
  const said = describeState(check, trans);
  return (
    <>
      <div role="status" aria-live="polite" className="rasen-State" data-kind={check.state}>
        {said}
      </div>
      {check.faults.length > 0 && (
        <div role="alert" className="rasen-State" data-kind="fault">
          {trans.__('A rule failed. That is a fault of Rasen, not of your notebook; the other rules ran.')}
          <ul>
            {check.faults.map(fault => (
              <li key={fault}>{fault}</li>
            ))}
          </ul>
        </div>
      )}
    </>
  );
}

interface IGroupProps extends IProps {
  group: IGroup;
  place: number;
  current: ICurrent;
}

function Group({ group, place, current, actions, trans }: IGroupProps): React.JSX.Element {
  const title = group.id === null ? trans.__('Notebook') : trans.__('Cell %1', place + 1);
  const counts = countFindings(group.findings);
  return (
    <section aria-label={`${title}: ${describeCounts(counts, trans)}`}>
      <h3 className="rasen-Group-title">
        {title}
        {counts.errors > 0 && <Badge severity="error" count={counts.errors} />}
        {counts.warnings > 0 && <Badge severity="warning" count={counts.warnings} />}
      </h3>
      <ul className="rasen-List">
        {group.findings.map((finding, index) => (
          <Row key={`${index} ${finding.code}`} finding={finding} current={current} actions={actions} trans={trans} />
        ))}
      </ul>
    </section>
  );
}

function Badge({ severity, count }: { severity: Severity; count: number }): React.JSX.Element {
  return (
    <span className="rasen-Badge" data-severity={severity} aria-hidden="true">
      {count}
    </span>
  );
}

interface IRowProps extends IProps {
  finding: IFinding;
  current: ICurrent;
}

function Row({ finding, current, actions, trans }: IRowProps): React.JSX.Element {
  const kind = finding.severity === 'error' ? trans.__('Error') : trans.__('Warning');
  const line = finding.line === null ? '' : trans.__('line %1', finding.line);
  return (
    <li className="rasen-Row" data-severity={finding.severity}>
      <button
        className="rasen-Row-main"
        title={trans.__('Go there')}
        onClick={() => void actions.jump(current.panel, finding)}
      >
        <span className="rasen-visuallyHidden">{kind}: </span>
        <span className="rasen-Row-text">{finding.message}</span>
        <span className="rasen-Row-place">{line}</span>
      </button>
      <span className="rasen-Row-tools">
        <button
          className="rasen-link"
          aria-label={trans.__('Explain %1', finding.code)}
          title={trans.__('Explain %1', finding.code)}
          onClick={() => void actions.explain(finding)}
        >
          {finding.code}
        </button>
        {finding.fixable && (
          <button
            className="rasen-button"
            disabled={current.check.state !== 'checked'}
            aria-label={trans.__('Fix %1', finding.code)}
            onClick={() => void actions.fix(current.check, finding)}
          >
            {trans.__('Fix')}
          </button>
        )}
      </span>
    </li>
  );
}

interface IOldProps extends IProps {
  current: ICurrent;
  order: readonly string[];
}

function OutOfDateCells({ current, order, trans, actions }: IOldProps): React.JSX.Element | null {
  const old = [...current.freshness.outOfDate];
  if (old.length === 0) {
    return null;
  }
  return (
    <details className="rasen-OutOfDate">
      <summary>{trans._n('%1 cell is out of date', '%1 cells are out of date', old.length, old.length)}</summary>
      <ul className="rasen-List">
        {old.slice(0, MOST_ROWS).map(([id, why]) => (
          <li key={id} className="rasen-Row">
            <button className="rasen-Row-main" onClick={() => void actions.show(current.panel, id)}>
              <span className="rasen-Row-text">
                {trans.__('Cell %1', order.indexOf(id) + 1)}: {describeOutOfDate(why, trans)}
              </span>
            </button>
          </li>
        ))}
      </ul>
    </details>
  );
}

/**
 * How many errors and warnings the notebook has, as a button that opens the panel: in the toolbar and the status bar.
 */
import { ReactWidget, UseSignal } from '@jupyterlab/ui-components';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { ISignal } from '@lumino/signaling';
import * as React from 'react';

import type { NotebookCheck } from './check';
import { countFindings, describeCounts } from './report';

export class FindingsBadge extends ReactWidget {
  constructor(
    private readonly changed: ISignal<unknown, void>,
    private readonly check: () => NotebookCheck | null,
    private readonly open: () => void,
    private readonly trans: TranslationBundle
  ) {
    super();
    this.addClass('rasen-Counts');
  }

  protected render(): React.JSX.Element {
    return <UseSignal signal={this.changed}>{() => this.renderCounts()}</UseSignal>;
  }

  private renderCounts(): React.JSX.Element {
    const check = this.check();
    if (!check || check.state === 'foreign' || check.state === 'waiting') {
      return <></>;
    }
    const counts = countFindings(check.findings);
    const isUnknown = check.state !== 'checked';
    const said = isUnknown ? this.trans.__('Not checked') : describeCounts(counts, this.trans);
    const label = this.trans.__('Findings: %1', said);
    return (
      <button className="rasen-Counts-button" title={label} aria-label={label} onClick={this.open}>
        {isUnknown && <span className="rasen-Badge">?</span>}
        {counts.errors > 0 && (
          <span className="rasen-Badge" data-severity="error">
            {counts.errors}
          </span>
        )}
        {counts.warnings > 0 && (
          <span className="rasen-Badge" data-severity="warning">
            {counts.warnings}
          </span>
        )}
        {!isUnknown && counts.errors + counts.warnings === 0 && <span className="rasen-Badge">✓</span>}
      </button>
    );
  }
}

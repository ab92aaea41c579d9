/**
 * What stands above the findings: how sure they are, and why there are none.
 */
import type { TranslationBundle } from '@jupyterlab/translation';

import type { NotebookCheck } from './check';

/** Say in a sentence in what state a check is; an empty text if there is nothing to say. */
export function describeState(check: NotebookCheck, trans: TranslationBundle): string {
  switch (check.state) {
    case 'waiting':
      return trans.__('Checking …');
    case 'foreign':
      return trans.__('This notebook runs %1; only Python is checked.', check.message);
    case 'refused':
      return check.message;
    case 'unanswered': {
      const why = check.said ? check.message : trans.__('The server does not answer.');
      const old = check.isOld ? ` ${trans.__('What stands below is from before.')}` : '';
      return `${why} ${trans.__('It is asked again by itself.')}${old}`;
    }
    case 'checked':
      if (check.problem !== null) {
        return check.problem;
      }
      return check.findings.length === 0 && check.faults.length === 0 ? trans.__('Nothing to mend.') : '';
  }
}

/**
 * What the linter answers, and the questions that are asked of it: how many, in which cell, of which severity.
 */
import type { TranslationBundle } from '@jupyterlab/translation';

export type Severity = 'error' | 'warning';

/** One finding, as `rasen.linter.LintFinding` writes it; cells count from 0, lines and columns from 1. */
export interface IFinding {
  code: string;
  severity: Severity;
  message: string;
  cell: number | null;
  cell_id: string | null;
  line: number | null;
  column: number | null;
  end_line: number | null;
  end_column: number | null;
  fixable: boolean;
  url: string | null;
}

/** What came of one notebook: `problem` if it could not be read, `faults` name rules that failed, which is our fault. */
export interface IReport {
  findings: IFinding[];
  faults: string[];
  problem: string | null;
}

export interface ICounts {
  errors: number;
  warnings: number;
}

/** The findings of one cell; `id` is null for those of the whole notebook. */
export interface IGroup {
  id: string | null;
  findings: IFinding[];
}

/** Count errors and warnings. */
export function countFindings(findings: readonly IFinding[]): ICounts {
  const errors = findings.filter(finding => finding.severity === 'error').length;
  return { errors, warnings: findings.length - errors };
}

/** Return the findings by the cell that they are of, in the order in which the cells stand; the notebook's own first. */
export function groupByCell(findings: readonly IFinding[], order: readonly string[]): IGroup[] {
  const groups = new Map<string | null, IFinding[]>();
  for (const finding of findings) {
    const group = groups.get(finding.cell_id);
    if (group) {
      group.push(finding);
    } else {
      groups.set(finding.cell_id, [finding]);
    }
  }
  const place = new Map<string | null, number>(order.map((id, index) => [id, index]));
  return [...groups]
    .map(([id, group]) => ({ id, findings: group }))
    .sort((one, other) => (place.get(one.id) ?? -1) - (place.get(other.id) ?? -1));
}

/** Say counts in words: "2 errors, 1 warning". */
export function describeCounts(counts: ICounts, trans: TranslationBundle): string {
  const { errors, warnings } = counts;
  const said = [];
  if (errors > 0) {
    said.push(trans._n('%1 error', '%1 errors', errors, errors));
  }
  if (warnings > 0) {
    said.push(trans._n('%1 warning', '%1 warnings', warnings, warnings));
  }
  return said.join(trans.__(', ')) || trans.__('No findings');
}

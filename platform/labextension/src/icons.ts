/**
 * The icons of the three panels. Their colours come from the theme (`jp-icon3`).
 */
import { LabIcon } from '@jupyterlab/ui-components';

function draw(name: string, body: string): LabIcon {
  const svgstr = `<svg xmlns="http://www.w3.org/2000/svg" width="16" height="16" viewBox="0 0 16 16">${body}</svg>`;
  return new LabIcon({ name: `rasen:${name}`, svgstr });
}

// Not the attribute `fill`: a theme would set it for this class.
const LINE = 'class="jp-icon3" style="fill: none" stroke="#616161" stroke-width="1.4" stroke-linecap="round" stroke-linejoin="round"';

/** A list with a mark on one line: what the linter finds. */
export const findingsIcon = draw(
  'findings',
  `<path ${LINE} d="M2.5 4h7M2.5 8h4M2.5 12h3.5"/><circle ${LINE} cx="10.7" cy="9.7" r="2.6"/><path ${LINE} d="M12.6 11.7l1.6 1.6"/>`
);

/** A cell with a plus: what can be inserted. */
export const snippetsIcon = draw(
  'snippets',
  `<path ${LINE} d="M6 4L2.5 8 6 12M10 4l3.5 4-3.5 4"/>`
);

/** A staircase seen from above: runs in the platform. */
export const runsIcon = draw(
  'spiral',
  `<path ${LINE} d="M8 8a1.4 1.4 0 0 1 1.4 1.4 2.7 2.7 0 0 1-2.7 2.7 4 4 0 0 1-4-4 5.4 5.4 0 0 1 5.4-5.4 6 6 0 0 1 6 6"/>`
);

/** Two versions beside one another. */
export const comparisonIcon = draw(
  'comparison',
  `<path ${LINE} d="M2.5 3.5h4.2v9H2.5zM9.3 3.5h4.2v9H9.3zM4 6.5h1.2M10.8 6.5H12M10.8 9.3H12"/>`
);

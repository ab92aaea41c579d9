/**
 * The icons of Rasen, drawn in the theme's own colours.
 */
import { checkIcon, LabIcon, runIcon } from '@jupyterlab/ui-components';

const draw = (paths: string): string =>
  `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24"><g class="jp-rasen-icon" fill="none" ` +
  `stroke="currentColor" stroke-width="2" stroke-linecap="round" stroke-linejoin="round">${paths}</g></svg>`;

/** A staircase seen from above. */
export const spiralIcon = new LabIcon({
  name: 'rasen:spiral',
  svgstr: draw('<path d="M12 12a2 2 0 0 1 2 2 4 4 0 0 1-4 4 6 6 0 0 1-6-6 8 8 0 0 1 8-8 9 9 0 0 1 9 9"/>')
});

/** Two versions beside one another. */
export const diffIcon = new LabIcon({
  name: 'rasen:diff',
  svgstr: draw('<path d="M4 5h6v14H4zM14 5h6v14h-6zM6 9h2M16 9h2M16 13h2"/>')
});

export { checkIcon, runIcon };

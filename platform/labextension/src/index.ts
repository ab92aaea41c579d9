/**
 * Rasen in JupyterLab: three plugins that can be switched off one by one.
 */
import type { JupyterFrontEndPlugin } from '@jupyterlab/application';

import { findingsPlugin } from './findings/plugin';
import { runsPlugin } from './runs/plugin';
import { snippetsPlugin } from './snippets/plugin';

const plugins: JupyterFrontEndPlugin<void>[] = [findingsPlugin, snippetsPlugin, runsPlugin];

export default plugins;

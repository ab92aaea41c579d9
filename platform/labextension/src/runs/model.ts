/**
 * What the server side answers about a notebook and its runs. Names are those of the control API.
 */

/** A parameter of the notebook's step, with the value that a run would get. */
export interface IParameter {
  name: string;
  /** The annotation as it stands in the cell. */
  type: string;
  kind: 'int' | 'float' | 'bool' | 'str' | 'date' | 'datetime' | 'secret' | 'choice' | 'list';
  choices: (string | number | boolean)[];
  nullable: boolean;
  description: string;
  /** The value if nothing is entered, and the layer that it comes from. */
  value: unknown;
  /** The same as one would type it. */
  text: string;
  layer: string;
  /** The steps that know it. */
  steps: string[];
}

/** What is known of a notebook without asking the platform. */
export interface INotebookAbout {
  pipeline: string | null;
  step: string | null;
  role: string;
  folder: string | null;
  endpoint: string | null;
  owner: string | null;
  parameters: IParameter[];
  /** Why it cannot be run, as a sentence. */
  problem: string | null;
  commit: string | null;
  /** Files of the folder that are not as in the commit. */
  changed: string[];
}

/** A version that answers behind the notebook's endpoint. */
export interface IVersion {
  run: string;
  role: string;
  release: string | null;
  commit: string | null;
  trained_until: string | null;
  published_at: string | null;
}

/** What the platform says of the notebook's pipeline. */
export interface IPlatformAbout {
  registered: boolean;
  release: string | null;
  commit: string | null;
  live: {
    endpoint: string;
    number: number;
    since_at: string | null;
    action: string;
    actor: string;
    reason: string;
    versions: IVersion[];
    held: string | null;
  } | null;
}

/** A step of a run. */
export interface IStep {
  step: string;
  state: string;
  /** Cells done and cells in all, while it runs. */
  cell: number | null;
  cells: number | null;
  seconds: number | null;
  error: string | null;
  line: string | null;
  has_notebook: boolean;
}

/** A run, as the list shows it. */
export interface IRun {
  run: string;
  pipeline: string;
  release: string;
  origin: string;
  /** `waiting`, `running`, `cancelling`, or its verdict. */
  state: string;
  /** While it waits: 1 is the next to be started. */
  place: number | null;
  started_at: string | null;
  seconds: number | null;
  by: string | null;
  error: string | null;
  metrics: Record<string, number>;
  commit: string | null;
  changed: string[];
  steps: IStep[];
}

/** One check of the interface test. */
export interface ICheck {
  name: string;
  step: string | null;
  outcome: 'running' | 'pass' | 'fail' | 'skip';
  message: string;
  seconds: number | null;
}

/** The newest interface test of a notebook. */
export interface IInterfaceTest {
  id: string;
  state: 'running' | 'passed' | 'failed' | 'cancelled' | 'broken';
  started_at: string;
  seconds: number | null;
  checks: ICheck[];
  message: string | null;
}

/** Whether a run has come to its end. */
export function hasEnded(run: IRun): boolean {
  return !['waiting', 'running', 'cancelling'].includes(run.state);
}

/** A run's id as people say it: the part that tells it from others. */
export function shortRun(run: string): string {
  return run.split('-').pop() ?? run;
}

/** A duration in the words of the command line. */
export function duration(seconds: number | null): string {
  if (seconds === null) {
    return '';
  }
  if (seconds < 10) {
    return `${seconds.toFixed(1)} s`;
  }
  if (seconds < 120) {
    return `${Math.round(seconds)} s`;
  }
  const minutes = Math.floor(seconds / 60);
  return minutes < 120 ? `${minutes} min` : `${(minutes / 60).toFixed(1)} h`;
}

/** An instant in the reader's own time zone and language. */
export function instant(text: string | null, locale: string): string {
  if (!text) {
    return '';
  }
  const date = new Date(text);
  const tag = locale.replace('_', '-');
  return Number.isNaN(date.getTime())
    ? text
    : date.toLocaleString(tag === 'default' ? undefined : tag, { dateStyle: 'medium', timeStyle: 'short' });
}

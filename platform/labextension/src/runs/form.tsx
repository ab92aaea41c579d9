/**
 * The form of a run: a field for each parameter of the notebook, with its type, its text and where its value comes from.
 *
 * Only what was changed here is sent. Whether it fits is decided where the run is started; what that says comes back
 * into the form, with everything that was entered.
 */
import { Dialog, ReactWidget, showDialog } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import type { IWish } from './desk';
import type { INotebookAbout, IParameter, IPlatformAbout } from './model';

/** What has been entered: texts as typed, `null` for None, and nothing for what was left alone. */
export type Entered = Record<string, string | boolean | null>;

/** The state of the form, kept when it is shown again with an error. */
export interface IFormState {
  source: IWish['source'];
  deploy: boolean;
  entered: Entered;
  problem: string | null;
}

/** Show the form; return what is wished for, or `null` when it was cancelled. */
export async function askForRun(
  about: INotebookAbout,
  platform: IPlatformAbout | null,
  state: IFormState,
  trans: TranslationBundle
): Promise<IFormState | null> {
  const body = new RunForm(about, platform, state, trans);
  const result = await showDialog<IFormState>({
    title: trans.__('Run %1 as batch', about.pipeline ?? ''),
    body,
    buttons: [Dialog.cancelButton(), Dialog.okButton({ label: trans.__('Run') })],
    focusNodeSelector: '.rasen-Runs-form input, .rasen-Runs-form select'
  });
  return result.button.accept ? body.getValue() : null;
}

/** Turn what was entered into a wish: texts go as typed, and are read by the annotation where the run is started. */
export function toWish(state: IFormState): IWish {
  const wish: IWish = {
    source: state.source,
    deploy: state.deploy && state.source === 'release',
    parameters: {},
    typed: {}
  };
  for (const [name, value] of Object.entries(state.entered)) {
    if (typeof value === 'string') {
      wish.typed[name] = value;
    } else {
      wish.parameters[name] = value;
    }
  }
  return wish;
}

/** The text of a value in its field. */
export function toText(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

class RunForm extends ReactWidget implements Dialog.IBodyWidget<IFormState> {
  constructor(
    private readonly _about: INotebookAbout,
    private readonly _platform: IPlatformAbout | null,
    private _state: IFormState,
    private readonly _trans: TranslationBundle
  ) {
    super();
    this.addClass('rasen-Runs-form');
  }

  getValue(): IFormState {
    return this._state;
  }

  protected override render(): React.JSX.Element {
    const trans = this._trans;
    const about = this._about;
    const release = this._platform?.release ?? null;
    const set = (change: Partial<IFormState>): void => {
      this._state = { ...this._state, ...change };
      this.update();
    };
    const enter = (name: string, value: string | boolean | null | undefined): void => {
      const entered = { ...this._state.entered };
      if (value === undefined) {
        delete entered[name];
      } else {
        entered[name] = value;
      }
      set({ entered });
    };
    const own = about.parameters.filter(each => about.step === null || each.steps.includes(about.step));
    const others = about.parameters.filter(each => !own.includes(each));
    const field = (parameter: IParameter): React.JSX.Element => (
      <Field
        key={parameter.name}
        parameter={parameter}
        entered={this._state.entered[parameter.name]}
        onEnter={value => enter(parameter.name, value)}
        trans={trans}
      />
    );
    return (
      <>
        {this._state.problem !== null && (
          <p className="rasen-Runs-problem" role="alert">
            {this._state.problem}
          </p>
        )}
        <fieldset>
          <legend>{trans.__('What runs')}</legend>
          <label className="rasen-Runs-choice">
            <input
              type="radio"
              name="rasen-source"
              checked={this._state.source === 'working-copy'}
              onChange={() => set({ source: 'working-copy' })}
            />
            <span>
              {trans.__('This working copy, unsaved changes included')}
              <small>{workingCopy(about, trans)}</small>
            </span>
          </label>
          <label className="rasen-Runs-choice">
            <input
              type="radio"
              name="rasen-source"
              disabled={release === null}
              checked={this._state.source === 'release'}
              onChange={() => set({ source: 'release' })}
            />
            <span>
              {release === null
                ? trans.__('The registered release: there is none yet')
                : trans.__('The registered release %1', release)}
              {release !== null && <small>{trans.__('as merged; not what you see here')}</small>}
            </span>
          </label>
          {this._state.source === 'release' && (
            <label className="rasen-Runs-choice">
              <input
                type="checkbox"
                checked={this._state.deploy}
                onChange={event => set({ deploy: event.target.checked })}
              />
              <span>{trans.__('The model may go live if it passes the gates')}</span>
            </label>
          )}
        </fieldset>
        <fieldset>
          <legend>{trans.__('Parameters')}</legend>
          {own.length === 0 && <p>{trans.__('This notebook has no parameters.')}</p>}
          {own.map(field)}
        </fieldset>
        {others.length > 0 && (
          <details>
            <summary>{trans.__('Parameters of the other steps (%1)', others.length)}</summary>
            {others.map(field)}
          </details>
        )}
      </>
    );
  }
}

function workingCopy(about: INotebookAbout, trans: TranslationBundle): string {
  if (about.commit === null) {
    return trans.__('not in git; marked as a working copy, never deployable outside dev');
  }
  const commit = about.commit.slice(0, 12);
  return about.changed.length === 0
    ? trans.__('as commit %1', commit)
    : trans.__('commit %1 and changes in %2', commit, about.changed.join(', '));
}

interface IFieldProps {
  parameter: IParameter;
  entered: string | boolean | null | undefined;
  onEnter: (value: string | boolean | null | undefined) => void;
  trans: TranslationBundle;
}

function Field({ parameter, entered, onEnter, trans }: IFieldProps): React.JSX.Element {
  const id = `rasen-parameter-${parameter.name}`;
  const value = entered === undefined ? parameter.value : entered;
  const isNone = value === null;
  return (
    <div className="rasen-Runs-field">
      <label htmlFor={id}>
        <code>{parameter.name}</code> <span className="rasen-Runs-type">{parameter.type}</span>
      </label>
      <div className="rasen-Runs-control">
        <Control parameter={parameter} id={id} value={value} onEnter={onEnter} />
        {parameter.nullable && (
          <label className="rasen-Runs-none">
            <input
              type="checkbox"
              checked={isNone}
              onChange={event => onEnter(event.target.checked ? null : '')}
            />
            None
          </label>
        )}
        {entered !== undefined && (
          <button type="button" className="rasen-Runs-link" onClick={() => onEnter(undefined)}>
            {trans.__('reset')}
          </button>
        )}
      </div>
      <small id={`${id}-text`}>
        {parameter.description}
        {entered === undefined && parameter.layer !== 'cell default' && (
          <em> {trans.__('from %1 of pipeline.yaml', parameter.layer)}</em>
        )}
        {parameter.kind === 'secret' && <em> {trans.__('a reference such as secret://env/NAME')}</em>}
      </small>
    </div>
  );
}

function Control(props: Omit<IFieldProps, 'trans' | 'entered'> & { id: string; value: unknown }): React.JSX.Element {
  const { parameter, id, value, onEnter } = props;
  const text = value === null ? '' : toText(value);
  const common = {
    id,
    'aria-describedby': `${id}-text`,
    disabled: value === null,
    className: 'jp-mod-styled'
  };
  switch (parameter.kind) {
    case 'bool':
      return (
        <input
          {...common}
          type="checkbox"
          checked={value === true}
          onChange={event => onEnter(event.target.checked)}
        />
      );
    case 'choice':
      return (
        <select {...common} value={text} onChange={event => onEnter(event.target.value)}>
          {parameter.choices.map(choice => (
            <option key={String(choice)} value={String(choice)}>
              {String(choice)}
            </option>
          ))}
        </select>
      );
    default:
      // A text field for dates too: "@scheduled-180d" is a date.
      return (
        <input
          {...common}
          type="text"
          spellCheck={false}
          autoComplete="off"
          inputMode={parameter.kind === 'int' || parameter.kind === 'float' ? 'decimal' : 'text'}
          value={text}
          onChange={event => onEnter(event.target.value)}
        />
      );
  }
}

/**
 * The panel in the left side bar: search, look, insert.
 */
import type { NotebookPanel } from '@jupyterlab/notebook';
import type { TranslationBundle } from '@jupyterlab/translation';
import { ReactWidget, refreshIcon, UseSignal } from '@jupyterlab/ui-components';
import type { Message } from '@lumino/messaging';
import * as React from 'react';

import { snippetsIcon } from '../icons';
import { type ISnippet, tagsOf } from './catalogue';
import { fitsCursor } from './insert';
import { Preview } from './preview';
import type { Shelf } from './shelf';

/** What the panel asks of the notebook. */
export interface ITarget {
  readonly current: NotebookPanel | null;
  insertAsCell(snippet: ISnippet): void;
  insertAtCursor(snippet: ISnippet): void;
}

interface IProps {
  shelf: Shelf;
  target: ITarget;
  trans: TranslationBundle;
}

export class SnippetsPanel extends ReactWidget {
  constructor(
    private readonly shelf: Shelf,
    private readonly target: ITarget,
    private readonly trans: TranslationBundle
  ) {
    super();
    this.id = 'rasen-snippets';
    this.title.icon = snippetsIcon;
    this.title.caption = trans.__('Snippets');
    this.addClass('rasen-Panel');
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', trans.__('Snippets'));
  }

  /** Put the focus into the search. */
  focusSearch(): void {
    this.node.querySelector<HTMLElement>('input')?.focus();
  }

  protected override onAfterShow(message: Message): void {
    super.onAfterShow(message);
    this.shelf.watch(true);
  }

  protected override onAfterHide(message: Message): void {
    super.onAfterHide(message);
    this.shelf.watch(false);
  }

  protected render(): React.JSX.Element {
    return (
      <UseSignal signal={this.shelf.changed}>
        {() => <Content shelf={this.shelf} target={this.target} trans={this.trans} />}
      </UseSignal>
    );
  }
}

function Content({ shelf, target, trans }: IProps): React.JSX.Element {
  const { chosen, found } = shelf;
  const broken = (shelf.catalogue?.snippets ?? []).filter(snippet => snippet.problem !== null);
  return (
    <>
      <header className="rasen-Panel-header">
        <h2 className="rasen-Panel-title">{trans.__('Snippets')}</h2>
        <span className="rasen-Panel-subject" />
        <button
          className="rasen-iconButton"
          title={trans.__('Read the snippets again')}
          aria-label={trans.__('Read the snippets again')}
          onClick={() => void shelf.load()}
        >
          <refreshIcon.react tag="span" width="14px" height="14px" />
        </button>
      </header>
      <Search shelf={shelf} target={target} trans={trans} />
      <Problems shelf={shelf} trans={trans} />
      <ul className="rasen-List rasen-Snippets" role="listbox" id="rasen-snippet-list" aria-label={trans.__('Snippets')}>
        {found.map(snippet => (
          <Option key={snippet.name} snippet={snippet} isChosen={snippet === chosen} shelf={shelf} target={target} />
        ))}
      </ul>
      {shelf.catalogue && found.length === 0 && (
        <p className="rasen-Panel-empty">{trans.__('No snippet has all these words.')}</p>
      )}
      {chosen && <Preview snippet={chosen} trans={trans} />}
      {chosen && <Buttons snippet={chosen} target={target} trans={trans} />}
      {broken.length > 0 && (
        <details className="rasen-OutOfDate">
          <summary>
            {trans._n('%1 snippet cannot be read', '%1 snippets cannot be read', broken.length, broken.length)}
          </summary>
          <ul className="rasen-List">
            {broken.map(snippet => (
              <li key={`${snippet.source} ${snippet.name}`} className="rasen-Row" data-severity="warning">
                <strong>{snippet.name}</strong> {snippet.problem}
              </li>
            ))}
          </ul>
        </details>
      )}
    </>
  );
}

function Search({ shelf, target, trans }: IProps): React.JSX.Element {
  const { chosen } = shelf;
  const tags = tagsOf(shelf.catalogue?.snippets ?? []);
  const onKeyDown = (event: React.KeyboardEvent): void => {
    const steps: Record<string, number> = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10 };
    const step = steps[event.key];
    if (step !== undefined) {
      shelf.move(step);
    } else if (event.key === 'Enter' && chosen && target.current && !event.nativeEvent.isComposing) {
      if (event.shiftKey && fitsCursor(target.current, chosen)) {
        target.insertAtCursor(chosen);
      } else {
        target.insertAsCell(chosen);
      }
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  };
  return (
    <div className="rasen-Panel-tools" role="search">
      <input
        type="search"
        className="rasen-Search"
        role="combobox"
        aria-expanded="true"
        aria-controls="rasen-snippet-list"
        aria-activedescendant={chosen ? `rasen-snippet-${chosen.name}` : undefined}
        aria-label={trans.__('Search snippets')}
        placeholder={trans.__('Search')}
        title={trans.__('Arrows choose, Enter inserts a cell, Shift+Enter inserts at the cursor')}
        value={shelf.words}
        onChange={event => shelf.search(event.target.value, shelf.tag)}
        onKeyDown={onKeyDown}
      />
      <select
        className="rasen-Tags"
        aria-label={trans.__('Tag')}
        value={shelf.tag}
        onChange={event => shelf.search(shelf.words, event.target.value)}
      >
        <option value="">{trans.__('All tags')}</option>
        {tags.map(tag => (
          <option key={tag} value={tag}>
            {tag}
          </option>
        ))}
      </select>
    </div>
  );
}

function Problems({ shelf, trans }: { shelf: Shelf; trans: TranslationBundle }): React.JSX.Element {
  const why = shelf.said ? shelf.problem : trans.__('The server does not answer.');
  const said = shelf.problem ? `${why} ${trans.__('It is asked again by itself.')}` : '';
  return (
    <>
      <div role="status" aria-live="polite" className="rasen-State" data-kind="unanswered">
        {said || (shelf.catalogue ? '' : trans.__('Reading …'))}
      </div>
      {(shelf.catalogue?.problems ?? []).map(problem => (
        <div key={problem} role="status" className="rasen-State" data-kind="refused">
          {problem}
        </div>
      ))}
    </>
  );
}

interface IOptionProps {
  snippet: ISnippet;
  isChosen: boolean;
  shelf: Shelf;
  target: ITarget;
}

function Option({ snippet, isChosen, shelf, target }: IOptionProps): React.JSX.Element {
  const node = React.useRef<HTMLLIElement>(null);
  React.useEffect(() => {
    if (isChosen) {
      node.current?.scrollIntoView({ block: 'nearest' });
    }
  }, [isChosen]);
  return (
    <li
      ref={node}
      id={`rasen-snippet-${snippet.name}`}
      className="rasen-Snippet"
      role="option"
      aria-selected={isChosen}
      onClick={() => shelf.choose(snippet.name)}
      onDoubleClick={() => target.current && target.insertAsCell(snippet)}
    >
      <span className="rasen-Snippet-title">{snippet.title}</span>
      <span className="rasen-Snippet-tags">{snippet.tags.join(' · ')}</span>
    </li>
  );
}

interface IButtonsProps {
  snippet: ISnippet;
  target: ITarget;
  trans: TranslationBundle;
}

function Buttons({ snippet, target, trans }: IButtonsProps): React.JSX.Element {
  const { current } = target;
  return (
    <div className="rasen-Panel-tools rasen-Snippets-buttons">
      <button
        className="rasen-button rasen-mod-main"
        disabled={!current}
        title={current ? '' : trans.__('Open a notebook first')}
        onClick={() => target.insertAsCell(snippet)}
      >
        {trans.__('Insert as a cell')}
      </button>
      <button
        className="rasen-button"
        disabled={!current || !fitsCursor(current, snippet)}
        title={trans.__('Below the line of the cursor; a snippet with a cell of its own kind cannot stand there')}
        onClick={() => target.insertAtCursor(snippet)}
      >
        {trans.__('Insert at the cursor')}
      </button>
    </div>
  );
}

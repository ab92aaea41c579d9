/**
 * A snippet before it is inserted: what it is for, its text with the placeholders marked, and what they mean.
 */
import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import type { ISnippet } from './catalogue';

interface IProps {
  snippet: ISnippet;
  trans: TranslationBundle;
}

export function Preview({ snippet, trans }: IProps): React.JSX.Element {
  const kind = snippet.cell_type === 'markdown' ? trans.__('Text cell') : trans.__('Code cell');
  const tags = snippet.cell_tags.length > 0 ? trans.__(', tagged %1', snippet.cell_tags.join(', ')) : '';
  return (
    <section className="rasen-Preview" aria-label={trans.__('Preview of %1', snippet.title)}>
      <p className="rasen-Preview-description">{snippet.description}</p>
      <pre tabIndex={0}>
        <code>{markedText(snippet)}</code>
      </pre>
      {snippet.placeholders.length > 0 && (
        <dl className="rasen-Preview-placeholders">
          {snippet.placeholders.map(placeholder => (
            <React.Fragment key={placeholder.name}>
              <dt>{placeholder.default || placeholder.name}</dt>
              <dd>
                {placeholder.description}
                {placeholder.choices.length > 0 && ` (${placeholder.choices.join(', ')})`}
              </dd>
            </React.Fragment>
          ))}
        </dl>
      )}
      <p className="rasen-Preview-origin">
        {kind}
        {tags} · {trans.__('from %1', snippet.source)}
        {snippet.overrides && ` · ${trans.__('in place of the one from %1', snippet.overrides)}`}
      </p>
    </section>
  );
}

function markedText(snippet: ISnippet): React.ReactNode[] {
  const pieces: React.ReactNode[] = [];
  let at = 0;
  for (const span of [...snippet.spans].sort((one, other) => one.start - other.start)) {
    pieces.push(snippet.text.slice(at, span.start));
    pieces.push(
      <mark key={span.start} className="rasen-Placeholder" title={span.name}>
        {snippet.text.slice(span.start, span.end)}
      </mark>
    );
    at = span.end;
  }
  pieces.push(snippet.text.slice(at).trimEnd());
  return pieces;
}

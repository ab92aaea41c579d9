/**
 * Which names a cell of Python sets and which it uses, read roughly: enough to tell that one cell rests on another.
 *
 * The linter reads code exactly; this runs in the browser at each keystroke, over cells that have no editor. It knows
 * strings, comments and brackets, and takes a statement that calls a method (`rows.dropna(inplace=True)`) as a change.
 */
export interface INames {
  set: ReadonlySet<string>;
  used: ReadonlySet<string>;
}

const IDENTIFIER = /[\p{L}_][\p{L}\p{N}_]*/gu;
const DEFINITION = /^(?:async\s+)?(?:def|class)\s+([\p{L}_][\p{L}\p{N}_]*)/u;
const ASSIGNMENT = /^([^=!<>:;]+?)\s*(?::[^=;]+)?(?:\*\*|\/\/|<<|>>|[-+*/%@&|^])?=(?!=)/;
const FOR_OR_WITH = /^(?:async\s+)?(?:for\s+(.+?)\s+in\b|with\b.*\bas\s+(.+?):?$)/;
const IMPORT = /^(?:from\s+[\w.]+\s+)?import\s+(.+)$/;
const CALL_OF_METHOD = /^([\p{L}_][\p{L}\p{N}_]*)(?:\.[\p{L}_][\p{L}\p{N}_]*|\[\])*\(\)$/u;
const KEYWORDS = new Set(
  ('False None True and as assert async await break class continue def del elif else except finally for from global if ' +
    'import in is lambda nonlocal not or pass raise return try while with yield').split(' ')
);

const cache = new Map<string, INames>();

/** Return the names that a cell sets at its top level, and all that it uses. */
export function namesOf(source: string): INames {
  const known = cache.get(source);
  if (known) {
    return known;
  }
  if (cache.size > 5000) {
    cache.clear();
  }
  const { text, statements } = strip(source);
  const used = new Set([...text.matchAll(IDENTIFIER)].map(found => found[0]).filter(name => !KEYWORDS.has(name)));
  const names = { set: namesSet(statements), used };
  cache.set(source, names);
  return names;
}

function namesSet(statements: readonly string[]): Set<string> {
  const names = new Set<string>();
  let inside: number | null = null; // the indent of the function or class whose body this is
  const add = (targets: string): void => {
    for (const target of targets.split(/,|=/)) {
      const name = /[\p{L}_][\p{L}\p{N}_]*/u.exec(target)?.[0];
      if (name && !KEYWORDS.has(name)) {
        names.add(name);
      }
    }
  };
  for (const line of statements) {
    const indent = line.length - line.trimStart().length;
    const statement = line.trim();
    if (!statement || /^[%!?]/.test(statement)) {
      continue;
    }
    if (inside !== null && indent > inside) {
      continue;
    }
    const definition = DEFINITION.exec(statement);
    inside = definition ? indent : null;
    if (definition?.[1]) {
      names.add(definition[1]);
      continue;
    }
    const imported = IMPORT.exec(statement)?.[1];
    if (imported) {
      imported.split(',').forEach(part => add(part.split(/\bas\b/).at(-1) ?? ''));
      continue;
    }
    const bound = FOR_OR_WITH.exec(statement);
    add(bound?.[1] ?? bound?.[2] ?? ASSIGNMENT.exec(statement)?.[1] ?? '');
    const changed = CALL_OF_METHOD.exec(statement);
    if (changed?.[1] && /[.[]/.test(statement)) {
      names.add(changed[1]);
    }
  }
  return names;
}

/** Return the code without comments and plain strings, and its logical lines without what stands in brackets. */
function strip(source: string): { text: string; statements: string[] } {
  let text = '';
  let flat = '';
  let depth = 0;
  for (let at = 0; at < source.length; ) {
    const rest = source.slice(at, at + 8);
    const opening = /^([A-Za-z]{0,2})("""|'''|"|')/.exec(rest);
    const isWord = at > 0 && /[\p{L}\p{N}_]/u.test(source[at - 1] ?? '');
    if (opening?.[2] && !(isWord && opening[1])) {
      const start = at + opening[0].length;
      const end = endOfString(source, start, opening[2]);
      // What an f-string uses stands in braces.
      const inner = /f/i.test(opening[1] ?? '') ? [...source.slice(start, end).matchAll(/\{([^{}]*)\}/g)] : [];
      text += ` ${inner.map(found => found[1]).join(' ')} `;
      flat += depth === 0 ? '""' : '';
      at = end + opening[2].length;
      continue;
    }
    const character = source[at] ?? '';
    if (character === '#') {
      const line = source.indexOf('\n', at);
      at = line < 0 ? source.length : line;
      continue;
    }
    text += character;
    if (')]}'.includes(character)) {
      depth = Math.max(0, depth - 1);
    }
    if (depth === 0) {
      flat += character === ';' ? '\n' : character;
    }
    if ('([{'.includes(character)) {
      depth += 1;
    }
    at += 1;
  }
  return { text, statements: flat.replaceAll('\\\n', ' ').split('\n') };
}

function endOfString(source: string, start: number, quote: string): number {
  for (let at = start; at < source.length; at++) {
    if (source[at] === '\\') {
      at += 1;
    } else if (source.startsWith(quote, at) || (quote.length === 1 && source[at] === '\n')) {
      return at;
    }
  }
  return source.length;
}

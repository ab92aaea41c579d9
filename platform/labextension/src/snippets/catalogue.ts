/**
 * The snippets that there are, as the server side lists them, and how they are searched.
 */
export interface ISpan {
  name: string;
  /** UTF-16 units from the begin of the text. */
  start: number;
  end: number;
}

export interface IPlaceholder {
  name: string;
  default: string;
  description: string;
  choices: string[];
}

export interface ISnippet {
  name: string;
  title: string;
  description: string;
  tags: string[];
  /** Where it comes from: Rasen itself, or a folder or an address of the team. */
  source: string;
  /** The source whose snippet of the same name it takes the place of. */
  overrides: string | null;
  cell_type: 'code' | 'markdown';
  cell_tags: string[];
  /** The cell with all placeholders at their defaults, and where those stand in it. */
  text: string;
  spans: ISpan[];
  placeholders: IPlaceholder[];
  /** What is wrong with its file; such a snippet cannot be inserted. */
  problem: string | null;
}

export interface ICatalogue {
  snippets: ISnippet[];
  /** Sources that could not be read. */
  problems: string[];
}

/** Return all tags, in order of the alphabet. */
export function tagsOf(snippets: readonly ISnippet[]): string[] {
  return [...new Set(snippets.flatMap(snippet => snippet.tags))].sort();
}

/** Return the snippets with that tag in which every word occurs; those with the words in their titles first. */
export function searchSnippets(snippets: readonly ISnippet[], words: string, tag: string): ISnippet[] {
  const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
  return snippets
    .filter(snippet => tag === '' || snippet.tags.includes(tag))
    .map(snippet => ({ snippet, score: scoreOf(snippet, wanted) }))
    .filter(({ score }) => score >= 0)
    .sort((one, other) => other.score - one.score || one.snippet.title.localeCompare(other.snippet.title))
    .map(({ snippet }) => snippet);
}

function scoreOf(snippet: ISnippet, words: readonly string[]): number {
  const places: [string, number][] = [
    [`${snippet.title} ${snippet.name}`.toLowerCase(), 4],
    [snippet.tags.join(' ').toLowerCase(), 3],
    [snippet.description.toLowerCase(), 1]
  ];
  let score = 0;
  for (const word of words) {
    const best = Math.max(0, ...places.map(([text, weight]) => (text.includes(word) ? weight : 0)));
    if (best === 0) {
      return -1;
    }
    score += best;
  }
  return score;
}

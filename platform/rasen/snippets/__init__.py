"""Snippets: cells that analysts write again and again, from Rasen and from their own team.

library = load_library(load_settings(), start=Path.cwd())
render(library.find("split_by_time"), {"rows": "flights"})
"""

from rasen.snippets.checking import SnippetCheck, check_folder
from rasen.snippets.reading import SnippetFolder, load_snippets, parse_snippet, read_folder
from rasen.snippets.rendering import Rendered, placeholder_spans, render, render_with_spans
from rasen.snippets.scaffold import create_snippet
from rasen.snippets.searching import search_snippets
from rasen.snippets.snippet import Placeholder, PlaceholderType, Snippet, SnippetProblem
from rasen.snippets.sources import (
    SHIPPED,
    Refreshed,
    SnippetLibrary,
    SourceProblem,
    load_library,
    shipped_folder,
    update_sources,
)

__all__ = [
    "SHIPPED",
    "Placeholder",
    "PlaceholderType",
    "Refreshed",
    "Rendered",
    "Snippet",
    "SnippetCheck",
    "SnippetFolder",
    "SnippetLibrary",
    "SnippetProblem",
    "SourceProblem",
    "check_folder",
    "create_snippet",
    "load_library",
    "load_snippets",
    "parse_snippet",
    "placeholder_spans",
    "read_folder",
    "render",
    "render_with_spans",
    "search_snippets",
    "shipped_folder",
    "update_sources",
]

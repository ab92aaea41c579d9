"""Snippets for the panel: all of them, filled in with their defaults, with the places of their placeholders."""

from __future__ import annotations

from dataclasses import asdict
from functools import cache
from typing import TYPE_CHECKING, Any

from jupyter_server.auth.decorator import authorized
from tornado.web import authenticated

from rasen.errors import InvalidInput
from rasen_labextension.handler import RasenHandler

if TYPE_CHECKING:
    from pathlib import Path

    from rasen.settings import Settings
    from rasen.snippets import Rendered, Snippet


class SnippetsHandler(RasenHandler):
    """`GET rasen/snippets?path=FOLDER`: what can be inserted by somebody who works in that folder."""

    @authenticated
    @authorized
    async def get(self) -> None:
        """List the snippets, and the sources that could not be read."""
        path = self.get_query_argument("path", "")
        start = self.resolve(path) if path.strip("/") else self.root
        self.finish(await self.in_thread(lambda: _list_snippets(start)))


class RenderHandler(RasenHandler):
    """`POST rasen/snippets/render {"name", "values", "path"}`: one snippet with values filled in, or refused."""

    @authenticated
    @authorized
    async def post(self) -> None:
        """Fill in a snippet; a value that could not stand where it would is refused with the reason."""
        body = self.body()
        name, values, path = body.get("name"), body.get("values", {}), body.get("path", "")
        if not isinstance(name, str):
            raise InvalidInput(f"name must be the name of a snippet, not {name!r:.100}")
        if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
            raise InvalidInput(f"values must be texts by placeholder, not {values!r:.100}")
        start = self.resolve(path) if path else self.root
        self.finish(await self.in_thread(lambda: _render(start, name, values)))


def _list_snippets(start: Path) -> dict[str, Any]:  # Any: JSON
    from rasen.snippets import load_library

    library = load_library(_settings(), start=start)
    return {
        "snippets": [_describe(snippet) for snippet in library.snippets],
        "problems": [str(problem) for problem in library.problems],
    }


def _render(start: Path, name: str, values: dict[str, str]) -> dict[str, Any]:  # Any: JSON
    from rasen.snippets import load_library, render_with_spans

    snippet = load_library(_settings(), start=start).find(name)
    return _written(render_with_spans(snippet, values))


def _describe(snippet: Snippet) -> dict[str, Any]:  # Any: JSON
    from rasen.snippets import render_with_spans

    written = {"text": "", "spans": []} if snippet.problem else _written(render_with_spans(snippet))
    return {
        "name": snippet.name,
        "title": snippet.title,
        "description": snippet.description,
        "tags": snippet.tags,
        "source": snippet.source,
        "overrides": snippet.overrides,
        "cell_type": snippet.cell_type,
        "cell_tags": snippet.cell_tags,
        "placeholders": [asdict(placeholder) for placeholder in snippet.placeholders],
        "problem": str(snippet.problem) if snippet.problem else None,
        **written,
    }


def _written(rendered: Rendered) -> dict[str, Any]:  # Any: JSON
    spans = [
        {"name": name, "start": _units(rendered.text[:start]), "end": _units(rendered.text[:end])}
        for name, start, end in rendered.spans
    ]
    return {"text": rendered.text, "spans": spans}


def _units(text: str) -> int:
    """Return the length as a browser counts it: an emoji is two."""
    return len(text.encode("utf-16-le", errors="surrogatepass")) // 2


@cache
def _settings() -> Settings:
    from rasen.settings import load_settings

    return load_settings()


SNIPPETS_ROUTES = ((r"snippets", SnippetsHandler), (r"snippets/render", RenderHandler))

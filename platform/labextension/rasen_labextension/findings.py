"""Findings of the linter: of the notebook as it is in the browser, saved or not."""

from __future__ import annotations

from dataclasses import asdict
from functools import cache

from jupyter_server.auth.decorator import authorized
from tornado.web import authenticated

from rasen.errors import InvalidInput
from rasen.linter import Linter, installed_linter
from rasen_labextension.handler import RasenHandler


class LintHandler(RasenHandler):
    """`POST rasen/lint {"path", "content"}`: the findings, by cell id."""

    @authenticated
    @authorized
    async def post(self) -> None:
        """Check the notebook whose text is `content` (nbformat's JSON as a text)."""
        body = self.body()
        path = self.resolve(body.get("path"))
        data = _content(body.get("content"))
        report = await self.in_thread(lambda: _linter().check(data, path=path, stage="editor"))
        self.finish(asdict(report))


def _content(content: object) -> bytes:
    if not isinstance(content, str):
        raise InvalidInput(f"content must be the notebook as a text, not {type(content).__name__}")
    return content.encode(errors="surrogatepass")


@cache
def _linter() -> Linter:
    return installed_linter()


FINDINGS_ROUTES = ((r"lint", LintHandler),)

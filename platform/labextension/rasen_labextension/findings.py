"""Findings of the linter: of the notebook as it is in the browser, saved or not."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from functools import cache
from pathlib import Path

from jupyter_server.auth.decorator import authorized
from tornado.web import authenticated

from rasen.errors import InvalidInput, RasenError
from rasen.linter import Linter, installed_linter
from rasen_labextension.handler import RasenHandler


class LintHandler(RasenHandler):
    """`POST rasen/lint {"path", "content"}`: the findings, by cell."""

    @authenticated
    @authorized
    async def post(self) -> None:
        """Check the notebook whose text is `content` (nbformat's JSON as a text)."""
        body = self.body()
        path = self.resolve(body.get("path"))
        data = _content(body.get("content"))
        report = await self.in_thread(lambda: _linter().check(data, path=path, stage="editor"))
        self.finish(asdict(report))


class FixHandler(RasenHandler):
    """`POST rasen/fix {"path", "content", "codes", "cell"}`: the notebook with the safe fixes made, as a text."""

    @authenticated
    @authorized
    async def post(self) -> None:
        """Mend what can be mended: of all rules or of `codes`, in all cells or in the one with the number `cell`.

        Nothing is written: the browser brings the changes into the open notebook, where they can be undone.
        """
        body = self.body()
        path = self.resolve(body.get("path"))
        data = _content(body.get("content"))
        codes = _codes(body.get("codes"))
        cell = _cell(body.get("cell"))
        fixed = await self.in_thread(lambda: _linter().fix(data, path=path, codes=codes, cell=cell))
        self.finish({"content": fixed.decode()})


class ExplainHandler(RasenHandler):
    """`GET rasen/explain?code=NB205`: the documentation of a rule, in plain text."""

    @authenticated
    @authorized
    async def get(self) -> None:
        """Say what a rule is about."""
        code = self.get_query_argument("code", "")
        text = await self.in_thread(lambda: _linter().explain(code))
        self.finish({"code": code, "text": text})


def _content(content: object) -> bytes:
    if not isinstance(content, str):
        raise InvalidInput(f"content must be the notebook as a text, not {type(content).__name__}")
    return content.encode(errors="surrogatepass")


def _codes(codes: object) -> tuple[str, ...] | None:
    if codes is None:
        return None
    if not isinstance(codes, list) or not all(isinstance(code, str) for code in codes):
        raise InvalidInput(
            f"codes must be a list of rules like ['NB104'], or null for all, not {codes!r:.100}"
        )
    return tuple(codes)


def _cell(cell: object) -> int | None:
    if cell is None:
        return None
    if not isinstance(cell, int) or isinstance(cell, bool) or cell < 0:
        raise InvalidInput(f"cell must be the number of a cell from 0, or null for all, not {cell!r:.100}")
    return cell


def warm_up() -> None:
    """Import the linter and have it look at an empty notebook, so that the first person who types waits for neither."""
    empty = b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": []}'
    with suppress(RasenError):  # told to whoever asks
        _linter().check(empty, path=Path("empty.ipynb").absolute(), stage="editor")


@cache
def _linter() -> Linter:
    return installed_linter()


FINDINGS_ROUTES = ((r"lint", LintHandler), (r"fix", FixHandler), (r"explain", ExplainHandler))

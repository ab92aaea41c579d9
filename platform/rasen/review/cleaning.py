"""HTML and Markdown of notebooks, made harmless: what anybody may have written, on a page that a reviewer trusts.

Three walls, each enough by itself: only elements and attributes that say something and do nothing are kept (nh3);
HTML stands in a frame of its own that may run nothing, submit nothing and lead nowhere; and the policy of page and
frame forbids every request and every script but the page's own, which it names by its digest.
"""

from __future__ import annotations

import html
import re

from rasen.errors import PlatformFailed
from rasen.review.images import decode_image

FRAME_POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
)
_TAGS = {
    *("b", "blockquote", "br", "caption", "code", "col", "colgroup", "dd", "del", "div", "dl", "dt", "em"),
    *(
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "hr",
        "i",
        "img",
        "ins",
        "kbd",
        "li",
        "mark",
        "ol",
        "p",
        "pre",
        "q",
    ),
    *(
        "s",
        "samp",
        "small",
        "span",
        "strong",
        "sub",
        "sup",
        "table",
        "tbody",
        "td",
        "tfoot",
        "th",
        "thead",
        "tr",
    ),
    *("u", "ul", "var"),
}
_ATTRIBUTES: dict[str, set[str]] = {
    "*": set(),  # nh3 would keep title and lang
    "img": {"src", "alt"},
    "ol": {"start"},
    "td": {"colspan", "rowspan"},
    "th": {"colspan", "rowspan"},
}
_LINKING = {**_ATTRIBUTES, "a": {"href"}}
# With what they hold: their text was not meant to be read.
_DROPPED = {
    *("script", "style", "template", "noscript", "iframe", "object", "embed", "svg", "math", "title", "head"),
    *(
        "select",
        "textarea",
        "button",
        "video",
        "audio",
        "frameset",
        "xmp",
        "plaintext",
        "noembed",
        "noframes",
    ),
}
_DATA_IMAGE = re.compile(r"data:(image/[a-z]+);base64,(.*)", re.DOTALL)
_NOT_SHOWN = re.compile(r"<img(?![^>]* src=)[^>]*>")  # what lies elsewhere is not fetched
_ROWS = re.compile(r"<(?:tr|p|li|h\d|br|pre|div|dt|dd)\b")
_FRAME_STYLE = (
    ":root{color-scheme:light dark}body{margin:4px;font:13px/1.4 system-ui,sans-serif;background:transparent}"
    "table{border-collapse:collapse}td,th{padding:2px 8px;text-align:right;border-bottom:1px solid #8884}"
    "th{font-weight:600}img{max-width:100%}pre{white-space:pre-wrap}"
)


def clean_output(text: str) -> str:
    """Return the HTML of an output with nothing in it that runs, loads, links or submits.

    Raises:
        PlatformFailed: nh3 is not installed.
    """
    return _clean(text, tags=_TAGS, attributes=_ATTRIBUTES)


def frame(text: str) -> str:
    """Return a frame that shows the HTML of an output and can do nothing else."""
    cleaned = clean_output(text)
    document = (
        f'<!doctype html><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{FRAME_POLICY}">'
        f"<style>{_FRAME_STYLE}</style>{cleaned}"
    )
    # A page without scripts in its frames cannot ask how high they are.
    height = min(max(60, 30 + 24 * len(_ROWS.findall(cleaned)) + len(cleaned) // 400), 420)
    if "<img" in cleaned:
        height = 420
    return (
        f'<iframe sandbox="" loading="lazy" referrerpolicy="no-referrer" title="HTML output" '
        f'style="height:{height}px" srcdoc="{html.escape(document)}"></iframe>'
    )


def render_markdown(text: str, attachments: dict[str, str] | None = None) -> str:
    """Return Markdown as HTML that loads nothing; HTML in it stays a text, formulas stay as they were typed.

    Args:
        text: The Markdown.
        attachments: Pictures of the cell, data URIs by name.

    Raises:
        PlatformFailed: nh3 or markdown-it-py is not installed.
    """
    try:
        from markdown_it import MarkdownIt
    except ImportError as error:
        raise _missing(error) from None
    parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    # What a data URI or `attachment:` may be is decided below; the parser's own judgement would leave a bare text.
    parser.validateLink = lambda url: True  # type: ignore[method-assign]  # as its documentation says to do it
    return _clean(parser.render(text), tags={*_TAGS, "a"}, attributes=_LINKING, attachments=attachments)


def _clean(
    text: str, *, tags: set[str], attributes: dict[str, set[str]], attachments: dict[str, str] | None = None
) -> str:
    try:
        import nh3
    except ImportError as error:
        raise _missing(error) from None

    def judge(tag: str, name: str, value: str) -> str | None:
        if (tag, name) == ("img", "src"):
            return _image(value, attachments or {})
        if (tag, name) == ("a", "href"):
            return value if value.lower().startswith(("https://", "http://", "mailto:")) else None
        if name in ("colspan", "rowspan", "start"):
            return value if value.isascii() and value.isdecimal() and len(value) < 4 else None
        return value

    cleaned = nh3.clean(
        text,
        tags=tags,
        clean_content_tags=_DROPPED,
        attributes=attributes,
        attribute_filter=judge,
        link_rel="noopener noreferrer nofollow",
        url_schemes={"http", "https", "mailto", "data", "attachment"},
    )
    return _NOT_SHOWN.sub("<i>(picture not shown)</i>", cleaned)


def _image(value: str, attachments: dict[str, str]) -> str | None:
    """Return the source of a picture that the page may show, if it is one that lies in the notebook."""
    if value.startswith("attachment:"):
        return attachments.get(value.removeprefix("attachment:"))
    match = _DATA_IMAGE.fullmatch(value)
    return value if match is not None and decode_image(match[1], match[2]) is not None else None


def _missing(error: ImportError) -> PlatformFailed:
    return PlatformFailed(f"outputs cannot be shown here: {error}; install the extra `rasen[review]`")

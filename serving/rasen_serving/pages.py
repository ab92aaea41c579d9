"""Pages for people: static files with headers that let the browser run and load nothing but what this service gives.

Each page names its own Content-Security-Policy. Scripts come from files only, so a name or description that an
attacker chose cannot become one.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from fastapi import Response

POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "connect-src": "'self'",
    "img-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",  # forms are sent by scripts, with the key in a header and never in an address
    "frame-ancestors": "'none'",
}
"""What a page may do unless it says otherwise."""

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",  # after an upgrade nobody mixes old and new files
}


def page(name: str, policy: dict[str, str]) -> Response:
    """Return a page of the folder `static` that may do what its policy says."""
    text = "; ".join(f"{directive} {sources}" for directive, sources in policy.items())
    return Response(
        read_static(name), headers={**_HEADERS, "Content-Security-Policy": text}, media_type="text/html"
    )


def static_file(name: str, media_type: str) -> Response:
    """Return a file of the folder `static`."""
    return Response(read_static(name), headers=_HEADERS, media_type=media_type)


@cache
def read_static(name: str) -> bytes:
    """Return the bytes of a file of the folder `static`."""
    return files("rasen_serving").joinpath("static", name).read_bytes()

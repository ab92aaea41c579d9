"""Finds e-mail addresses of people in a text, and nothing that only looks like one.

Precision decides: `user@host` in a path, `git@github.com:team/repository`, `X@weights.T` and `logo@2x.png` are none,
and the domains that standards keep for examples belong to nobody. Found by the `@` and not by one regular expression
over everything, which would be slow on megabytes of base64.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_LOCAL = re.compile(r"[A-Za-z0-9](?:[\w.+%-]{0,62}\w)?\Z", re.ASCII)
_DOMAIN = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,8}([A-Za-z]{2,18})(?![\w-])", re.ASCII
)
_LONGEST_LOCAL = 64
# Every two letters are, or may become, a country's; of the others, those that people write mail from.
_TOP_LEVEL = frozenset(
    {
        *{
            "academy",
            "aero",
            "agency",
            "app",
            "asia",
            "bank",
            "berlin",
            "biz",
            "blog",
            "center",
            "cloud",
            "club",
        },
        *{
            "com",
            "community",
            "company",
            "consulting",
            "coop",
            "dev",
            "digital",
            "edu",
            "education",
            "email",
            "energy",
        },
        *{
            "engineering",
            "finance",
            "foundation",
            "global",
            "gmbh",
            "gov",
            "group",
            "health",
            "info",
            "institute",
        },
        *{
            "int",
            "international",
            "jobs",
            "london",
            "ltd",
            "media",
            "mil",
            "mobi",
            "museum",
            "net",
            "network",
        },
        *{"ngo", "nyc", "online", "org", "osaka", "paris", "pro", "school", "services", "shop", "site"},
        *{
            "software",
            "solutions",
            "store",
            "studio",
            "systems",
            "team",
            "tech",
            "tel",
            "tokyo",
            "travel",
            "university",
        },
        *{"vip", "wiki", "work", "world", "xyz", "zone"},
    }
)
_NOBODYS = re.compile(r"(?:^|\.)(?:example\.(?:com|net|org|edu|jp|co\.jp)|(?:test|invalid|localhost|local))$")
_FILE = re.compile(
    r"[\w-]+\.(?:cc|md|ml|pl|ps|py|rs|sh|so)"
)  # `user@script.py`, although Paraguay has addresses
_NO_PERSON = frozenset({"donotreply", "do-not-reply", "git", "hg", "no-reply", "noreply", "svn"})


def find_addresses(text: str) -> Iterator[str]:
    """Yield the addresses in a text, in order, each as often as it stands there."""
    at = text.find("@")
    while at >= 0:
        address = _address_at(text, at)
        if address is not None:
            yield address
        at = text.find("@", at + 1)


def shorten(address: str) -> str:
    """Return an address that a log may show: one letter and the domain."""
    local, _, domain = address.partition("@")
    return f"{local[:1]}…@{domain}"


def _address_at(text: str, at: int) -> str | None:
    domain = _DOMAIN.match(text, at + 1)
    if domain is None:
        return None
    before = text[max(0, at - _LONGEST_LOCAL - 1) : at]
    local = _LOCAL.search(before[-_last_word(before) :])
    if local is None:
        return None
    start, end = at - len(local[0]), domain.end()
    left, right = text[max(0, start - 8) : start], text[end : end + 2]
    name, host = local[0].lower(), domain[0].lower()
    top_level = domain[1].lower()
    if (len(top_level) > 2 and top_level not in _TOP_LEVEL) or _FILE.fullmatch(host):
        return None
    # A path, a part of a URL, a call, what `scp` copies: not an address.
    in_path = left.endswith(("/", "\\", "@")) or (left.endswith(":") and "//" in left)
    continues = right[:1] in {"(", "[", "/", "@"} or (right[:1] == ":" and right[1:].strip() not in {"", ","})
    if in_path or continues or name in _NO_PERSON or _NOBODYS.search(host):
        return None
    return f"{local[0]}@{domain[0]}"


def _last_word(text: str) -> int:
    """Return how many characters at the end may belong to the part before the @."""
    length = 0
    while length < len(text) and (text[-1 - length].isalnum() or text[-1 - length] in "._+%-"):
        length += 1
    return length

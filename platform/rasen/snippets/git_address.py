"""The address of a repository of snippets: `https://host/team/x.git@v3#folder`.

What stands here is handed to git, and may come from a repository that somebody has only cloned to look at it. So the
parts are taken apart and matched one by one: no other transport (`ext::` runs commands), nothing that git could take
for an option, no password.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from rasen.errors import InvalidInput

SCHEMES = ("https", "ssh", "file")
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::\d{1,5})?")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_PATH = re.compile(r"/[^\s@#?\x00-\x1f\x7f-\x9f]+")
_REF = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._/+-]*")
_FOLDER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._ /-]*")
_FORM = "https://host/team/snippets.git@v3#folder"


@dataclass(frozen=True, kw_only=True)
class GitAddress:
    """A repository, what of it, and in which of its folders.

    Args:
        url: As git gets it.
        ref: A tag, a branch or a whole commit id; empty is the repository's own choice.
        folder: From the top of the repository, with `/`; empty is the top.
    """

    url: str
    ref: str = ""
    folder: str = ""

    @property
    def digest(self) -> str:
        """The name of the folder that keeps copies of it."""
        return hashlib.sha256(f"{self.url}\0{self.ref}\0{self.folder}".encode()).hexdigest()[:24]


def looks_like_address(text: str) -> bool:
    """Return whether somebody meant the address of a repository, not a folder."""
    return "://" in text or "::" in text or re.match(r"[\w.-]+@[\w.-]+:", text) is not None


def parse_address(text: str) -> GitAddress:
    """Take an address apart.

    Raises:
        InvalidInput: It is no address that may be fetched; the message says what would be right.
    """
    address, _, folder = text.strip().removeprefix("git+").partition("#")
    try:
        parts = urlsplit(address)
    except ValueError as error:
        raise InvalidInput(f"{text!r} is no address of a repository: {error}; write {_FORM!r}") from None
    if parts.scheme not in SCHEMES or "://" not in address:
        raise InvalidInput(
            f"{text!r} cannot be fetched; write {_FORM!r}, with one of {', '.join(f'{each}://' for each in SCHEMES)}"
        )
    user, _, host = parts.netloc.rpartition("@")
    if user and (parts.scheme != "ssh" or not _USER.fullmatch(user)):
        raise InvalidInput(
            f"the address of {host!r} holds a user or a password; leave it out, git asks its credential helper"
        )
    path, _, ref = parts.path.partition("@")
    _match(_HOST, host, "host", text, empty=parts.scheme == "file")
    _match(_PATH, path, "path", text)
    _match(_REF, ref, "tag, branch or commit", text, empty="@" not in parts.path)
    _match(_FOLDER, folder, "folder", text, empty="#" not in text)
    if parts.query or any(each in {"", ".", ".."} for each in folder.rstrip("/").split("/") if folder):
        raise InvalidInput(f"{text!r} is no address of a repository; write {_FORM!r}")
    if ".." in ref or (parts.scheme == "file" and host):
        raise InvalidInput(
            f"{text!r} is no address of a repository; write {_FORM!r} or 'file:///path/snippets.git'"
        )
    return GitAddress(url=f"{parts.scheme}://{parts.netloc}{path}", ref=ref, folder=folder.rstrip("/"))


def _match(pattern: re.Pattern[str], value: str, what: str, text: str, *, empty: bool = False) -> None:
    if not pattern.fullmatch(value) and not (empty and not value):
        raise InvalidInput(f"{text!r} names no {what}: {value!r}; write {_FORM!r}")

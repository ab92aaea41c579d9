"""What names a credential, and what is one: precise rather than complete, since a false alarm blocks a merge."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import unquote

from rasen.secret_reference import SCHEME

# The end of a name says what it holds: `password_column` is no password, `db_password` is one.
_PASSWORD_NAME = re.compile(r"(?:^|_)(?:password|passwd|passphrase|passwort|pwd)$")
_KEY_NAME = re.compile(
    r"""(?:^|_)(?:api|access|secret|private|auth|encryption|signing|account|storage|subscription|service|master|admin
        |license|licence|webhook|consumer|app|application|client|refresh|bearer|bot|slack|github|gitlab|hf|openai|aws)
        _?(?:access_?)?(?:key|key_id|secret|token|credential|credentials)$""",
    re.VERBOSE,
)
_TOKEN_NAME = re.compile(r"(?:^|_)(?:token|secret|credential|credentials|apikey|bearer)$")
# Tokens of language models, parsers and pages of results are no credentials.
_OTHER_TOKEN = re.compile(
    r"(?:^|_)(?:pad|padding|bos|eos|sep|cls|mask|unk|unknown|special|start|end|begin|stop|oov|next|prev|previous"
    r"|page|sync|image|text|new|first|last|max|num|word|sub|blank|separator|delimiter|split|cancellation)_token$"
)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

_WORDS_OF_NAMES = (
    r"api|secret|password|passwd|pass|pwd|token|key|access|auth|credentials?|db|database|user|client|own|id"
)
_PLACEHOLDERS = (
    # <token>, [secret], ${KEY}, {{ key }}, %s; a template; an ellipsis; one character over and over
    r"[<\[({$%].*|.*\{\w*\}.*|.*(?:\.\.\.|…).*|(.)\1*|[x*.•#_-]+|.*(?:x{4,}|\*{3,}).*",
    r".*your.*|.*[ _-]here|.*change[ _-]?(?:me|this|it).*|.*place[ _-]?holder.*|.*redacted.*",
    rf"(?:my|some|the|insert|enter|put|replace|fill|add|paste|set|a|an)(?:[ _-]?(?:{_WORDS_OF_NAMES}))+",
    r"(?:.*[^a-z0-9])?(?:example|sample|dummy|fake|todo|fixme|mock|masked)(?:[^a-z0-9].*)?",
    r"none|null|nil|true|false|default|unknown|empty|undefined|n/?a|env|prompt|hidden|required|optional|test(?:ing)?",
    rf"(?:{_WORDS_OF_NAMES})|bearer|basic|oauth2?|jwt|header|query",
    r"str(?:ing)?|text|object|category|int\d*|float\d*|bool(?:ean)?|bytes|date|datetime.*",
    # where it is, instead of what it is
    r"(?:secret|env|file|vault|gcp|aws|sm|op|keyring|projects|https?):.*|projects/.*|(?:~|\.{0,2}/|[a-z]:\\).*",
    r"[\w./\\~ -]+\.(?:pem|key|json|txt|crt|cer|p12|pfx|pub|cfg|ini|ya?ml|env|toml)",
)
_PLACEHOLDER = re.compile("|".join(f"(?:{each})" for each in _PLACEHOLDERS[1:]), re.IGNORECASE | re.DOTALL)
_TEMPLATE = re.compile(_PLACEHOLDERS[0], re.IGNORECASE | re.DOTALL)
_VARIABLE = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+")  # the name of one in the environment
_PLAIN_WORDS = re.compile(r"[A-Za-z]{1,12}(?:[-_.:][A-Za-z]{1,12})*")
_COLUMN = re.compile(r"[a-z]+\d{0,2}(?:_(?:[a-z]+\d{0,2}|v?\d{1,2}))+")
_URL = re.compile(
    r"\b[a-z][a-z0-9+.-]{1,30}://(?P<user>[^\s:/@'\"<>]{0,80}):(?P<secret>[^\s/@'\"<>]{3,120})@(?:[\w\[{.%-]|$)",
    re.IGNORECASE,
)


def names_secret(name: str) -> bool:
    """Return whether a name, in snake, kebab or camel case, says that its value is a credential."""
    snake = _snake(name)
    return (
        any(pattern.search(snake) for pattern in (_PASSWORD_NAME, _KEY_NAME, _TOKEN_NAME))
        and _OTHER_TOKEN.search(snake) is None
    )


def is_secret(name: str, value: str) -> bool:
    """Return whether a literal that is given to the name of a credential can be a real one.

    A password may be a plain word. A key or a token may not, and what is just called `token` has to look like one.
    """
    text = value.strip()
    if not 4 <= len(text) <= 4000 or any(character.isspace() for character in text) or is_template(text):
        return False
    if text.startswith(SCHEME) or _PLACEHOLDER.fullmatch(text) or _VARIABLE.fullmatch(text):
        return False
    if _letters(text) == _letters(name):
        return False
    snake = _snake(name)
    if _PASSWORD_NAME.search(snake):
        return True
    if len(text) < 6 or _PLAIN_WORDS.fullmatch(text):
        return False
    if _KEY_NAME.search(snake):
        return True
    if _COLUMN.fullmatch(text):
        return False
    mixed = any(each.isdigit() for each in text) and any(each.isalpha() for each in text)
    return (mixed or len(text) >= 20) and not re.search(r"[\\*?|^$()\[\]<>]", text)


def is_template(text: str) -> bool:
    """Return whether a text only shows where a secret would stand: `<token>`, `${KEY}`, `xxxx`."""
    return _TEMPLATE.fullmatch(text) is not None


def passwords_in_urls(text: str) -> Iterator[re.Match[str]]:
    """Yield the URLs of a text that hold a password, up to their host."""
    if "://" not in text or "@" not in text:
        return
    for found in _URL.finditer(text):
        secret = unquote(found["secret"])
        repeated = secret.lower() == found["user"].lower()  # postgres:postgres is everybody's
        if not repeated and not is_template(secret) and not _PLACEHOLDER.fullmatch(secret):
            yield found


def _snake(name: str) -> str:
    return re.sub(r"[-. ]", "_", _CAMEL.sub("_", name[:80])).lower()


def _letters(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())

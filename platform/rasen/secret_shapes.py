"""What gives a secret away by its form alone: private keys and the tokens of well-known services.

One table for whoever masks what a notebook shows and whoever lints what is committed, so that both know the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Shape:
    """One form.

    Args:
        name: What it is, in words.
        needle: A text that it cannot be without: searching for it first is many times faster.
        pattern: The whole of it; a group is what stands before the secret itself.
        replacement: What takes its place where it is masked, as for `re.sub`.
    """

    name: str
    needle: str
    pattern: re.Pattern[str]
    replacement: str


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A secret seen in a text: its form, where it stands, and the secret without what stands before it."""

    name: str
    start: int
    end: int
    secret: str


def _shape(name: str, needle: str, pattern: str) -> Shape:
    return Shape(name=name, needle=needle, pattern=re.compile(pattern), replacement=f"[secret {name}]")


SHAPES = (
    Shape(
        name="private key",
        needle="PRIVATE KEY-----",
        pattern=re.compile(
            r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?:.*?-----END [A-Z ]*PRIVATE KEY-----|(?:\s*[A-Za-z0-9+/=]{4,})*)",
            re.DOTALL,
        ),
        replacement="[secret private key]",
    ),
    _shape("AWS key", "AKIA", r"\bAKIA[0-9A-Z]{16}\b"),
    _shape("AWS key", "ASIA", r"\bASIA[0-9A-Z]{16}\b"),
    _shape("GitHub token", "gh", r"gh[oprsu]_[A-Za-z0-9]{36,255}\b"),
    _shape("GitHub token", "github_pat_", r"\bgithub_pat_[A-Za-z0-9_]{22,255}\b"),
    _shape("Slack token", "xox", r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}"),
    _shape("Rasen key", "rasen_", r"\brasen_[0-9a-f]{12}\.[A-Za-z0-9_-]{20,}"),
    _shape("Google key", "AIza", r"\bAIza[A-Za-z0-9_-]{35}"),
    _shape("GitLab token", "glpat-", r"\bglpat-[A-Za-z0-9_-]{20,}"),
    _shape("Hugging Face token", "hf_", r"\bhf_[A-Za-z0-9]{30,}\b"),
    _shape("OpenAI key", "sk-", r"\bsk-(?:(?:proj|svcacct|admin)-)?[A-Za-z0-9]{20,}[A-Za-z0-9_-]*"),
    _shape("Anthropic key", "sk-ant-", r"\bsk-ant-[A-Za-z0-9_-]{40,}"),
    _shape("Stripe key", "_live_", r"\b[rs]k_live_[A-Za-z0-9]{16,}"),
    Shape(
        name="token",
        needle="uthorization",
        pattern=re.compile(
            r"""(?i)(authorization\\?['"]?\s*[:=,]\s*\\?['"]?(?:bearer|basic|token)\s+)(?!\[secret )[^\s'"\\,;]{6,}"""
        ),
        replacement=r"\1[secret token]",
    ),
)
"""In this order they are masked. New ones are added here only."""


def find_secrets(text: str) -> Iterator[Seen]:
    """Yield what looks like a secret in a text, form by form."""
    for shape in SHAPES:
        if shape.needle in text:
            for found in shape.pattern.finditer(text):
                before = found.end(1) if shape.pattern.groups else found.start()
                yield Seen(
                    name=shape.name, start=found.start(), end=found.end(), secret=text[before : found.end()]
                )

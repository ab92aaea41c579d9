"""Where ruff is, which rules it has, and what it says about one: asked from ruff itself."""

from __future__ import annotations

import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

from rasen.errors import InvalidInput, PlatformFailed


@cache
def ruff_command() -> str | None:
    """Return the program: the one beside this Python before any other on the PATH; `None` without."""
    beside = Path(sys.executable).with_name("ruff")
    return str(beside) if beside.is_file() else shutil.which("ruff")


@cache
def ruff_codes() -> tuple[str, ...] | None:
    """Return the codes of all of ruff's rules; `None` where ruff is not installed."""
    program = ruff_command()
    if program is None:
        return None
    import json

    done = subprocess.run(
        [program, "rule", "--all", "--output-format", "json"], capture_output=True, check=False
    )
    try:
        return tuple(rule["code"] for rule in json.loads(done.stdout) if rule.get("code"))
    except (ValueError, TypeError, KeyError):
        return None


def explain_ruff_rule(code: str) -> str:
    """Return ruff's own documentation of a rule, in Markdown.

    Raises:
        InvalidInput: ruff has no such rule.
        PlatformFailed: ruff is not installed.
    """
    program = ruff_command()
    if program is None:
        raise PlatformFailed(
            f"{code!r} is none of our rules, and ruff is not installed; `rasen[lint]` brings it"
        )
    done = subprocess.run(
        [program, "rule", code.upper()], capture_output=True, check=False, text=True, encoding="utf-8"
    )
    if done.returncode != 0:
        raise InvalidInput(f"there is no rule {code!r}, neither here nor in ruff")
    return done.stdout

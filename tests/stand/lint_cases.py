"""The notebooks of `tests/lint_cases`: each has in its metadata what must be found in it, and where it stands."""

from typing import Any

from rasen_lint.context import Context, Role
from stand.repository import ROOT

CASES = ROOT / "tests" / "lint_cases"


def read_context(case: dict[str, Any]) -> Context:
    """Return the context that a case asks for by `"context": {"role": "step", …}`: lists are sets there."""
    given: dict[str, Any] = {
        name: frozenset(value) if isinstance(value, list) else value
        for name, value in case.get("context", {}).items()
    }
    if "role" in given:
        given["role"] = Role(given["role"])
    return Context(**given)

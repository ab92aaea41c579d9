"""What the tests of the warm process have it run: a module whose `main` runs the code that it is given."""

from __future__ import annotations

import sys


def main(arguments: list[str]) -> int:
    """Run the first argument as code, with the others as `arguments`; its `code`, if it sets one, is the exit code."""
    names: dict[str, object] = {"__name__": "__main__", "arguments": arguments[1:]}
    exec(arguments[0], names)
    sys.stdout.flush()
    code = names.get("code", 0)
    assert isinstance(code, int)
    return code

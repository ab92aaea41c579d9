"""`rasen lint --nbqa TOOL`: other people's checkers, which read scripts, on notebooks through nbqa.

nbqa writes each notebook as a temporary script and puts the cells back into what the tool says. It costs a second a
notebook, so it stands beside our rules and ruff and not in their way.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from rasen.errors import InvalidInput


def run_tool(tool: str, paths: Sequence[Path], arguments: Sequence[str]) -> int:
    """Run a tool on notebooks, its output going where ours goes, and return its exit code.

    Raises:
        InvalidInput: nbqa or the tool is not installed.
    """
    if importlib.util.find_spec("nbqa") is None:
        raise InvalidInput("nbqa is not installed; `rasen[lint]` brings it")
    words = tool.split()
    if not words:
        raise InvalidInput("--nbqa needs the name of a tool, such as mypy or bandit")
    beside = Path(sys.executable).with_name(words[0]).is_file()
    importable = words[0].isidentifier() and importlib.util.find_spec(words[0]) is not None
    if not beside and not importable and shutil.which(words[0]) is None:
        raise InvalidInput(
            f"{words[0]!r} is not installed in the environment of rasen ({sys.prefix}); install it there, for example: "
            f"python -m pip install {words[0]}"
        )
    command = [sys.executable, "-m", "nbqa", tool, *map(str, paths), *arguments]
    return subprocess.run(command, check=False).returncode

"""Compiles the front end while the wheel is built, so that a wheel without it cannot come to be.

Needs Node and npm, and nothing that npm would have to run: packages come by the digests of `package-lock.json`, without
their install scripts.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

HERE = Path(__file__).parent
ASSETS = HERE / "rasen_labextension" / "labextension"


class FrontEnd(BuildHookInterface):  # type: ignore[type-arg]  # the type of its configuration is of no use here
    """Runs npm, the TypeScript compiler and jupyter-builder."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # Any: hatchling's own
        """Compile anew, or keep what is there when RASEN_KEEP_ASSETS is set, for who builds in two steps."""
        if os.environ.get("RASEN_KEEP_ASSETS") and (ASSETS / "package.json").is_file():
            return
        npm = shutil.which("npm")
        if npm is None:
            raise RuntimeError(
                "the JupyterLab extension is compiled by Node: install nodejs and npm, or a built wheel"
            )
        # The builder is a Python package whose command must be found by `npm run`.
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        environment = {**os.environ, "PATH": path}
        if not (HERE / "node_modules" / ".package-lock.json").is_file():
            subprocess.run(
                [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
                cwd=HERE,
                check=True,
                env=environment,
            )
        shutil.rmtree(ASSETS, ignore_errors=True)
        subprocess.run([npm, "run", "build"], cwd=HERE, check=True, env=environment)

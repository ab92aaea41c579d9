"""`python -m rasen.interface_test PATH [--json-lines]`: the test for programs, such as JupyterLab's server side.

With `--json-lines` each event is one line of JSON, written when it happens; the last one is the report. SIGTERM and
SIGINT end the test with all that it has started.
"""

from __future__ import annotations

import argparse
import json
import sys

from rasen.errors import RasenError
from rasen.interface_test.checks import TestEvent, event_to_json, ignore
from rasen.interface_test.run import run_interface_test
from rasen.settings import load_settings


def main(arguments: list[str] | None = None) -> int:
    """Test one pipeline or notebook; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m rasen.interface_test")
    parser.add_argument("path", help="a pipeline's name or folder, or a notebook")
    parser.add_argument("--json-lines", action="store_true", help="one JSON object an event, as it happens")
    parser.add_argument("--no-lint", action="store_true", help="do not ask the linter")
    parser.add_argument("--keep-going", action="store_true", help="run although a check before has failed")
    given = parser.parse_args(arguments)

    def write(event: TestEvent) -> None:
        sys.stdout.write(json.dumps(event_to_json(event), ensure_ascii=False) + "\n")
        sys.stdout.flush()

    try:
        report = run_interface_test(
            load_settings(),
            given.path,
            observe=write if given.json_lines else ignore,
            lint=not given.no_lint,
            keep_going=given.keep_going,
        )
    except RasenError as error:
        if given.json_lines:
            told = {"event": "problem", "error": type(error).__name__, "message": str(error)}
            sys.stdout.write(json.dumps(told, ensure_ascii=False) + "\n")
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return error.exit_code
    if not given.json_lines:
        json.dump(report.to_json(), sys.stdout, indent=2, ensure_ascii=False)
        sys.stdout.write("\n")
    return report.exit_code


if __name__ == "__main__":
    sys.exit(main())

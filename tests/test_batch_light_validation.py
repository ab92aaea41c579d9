"""Notebooks are validated as ever, and the second that nobody needs is not spent."""

import importlib.util
import json
import subprocess
import sys
from typing import Any

import pytest

_REPORT = "json.dumps({'slow': [n for n in ('lark', 'rfc3987_syntax') if n in sys.modules], 'told': told})"


def report(code: str) -> dict[str, Any]:  # Any: JSON
    """Run code in a fresh process; return which slow modules it loaded, and what it leaves in `told`."""
    code = f"import json, sys\ntold = None\n{code}\nprint({_REPORT})"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    loaded: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return loaded


LIGHT = "from rasen.batch.light_validation import import_validation\nimport_validation()\n"
WRONG = """
import nbformat
try:
    nbformat.validate({"cells": [{"cell_type": "code"}], "metadata": {}, "nbformat": 4, "nbformat_minor": 5})
except nbformat.ValidationError as error:
    told = error.message
"""


def test_a_notebook_is_validated_without_the_checker_of_international_addresses() -> None:
    found = report(LIGHT + WRONG)
    assert found["slow"] == []
    assert "required" in found["told"]


@pytest.mark.skipif(
    importlib.util.find_spec("rfc3987_syntax") is None, reason="comes with JupyterLab, which is not installed"
)
def test_the_checker_stays_importable_and_is_loaded_where_nobody_asked_for_less() -> None:
    assert report(LIGHT + "import rfc3987_syntax")["slow"] == ["lark", "rfc3987_syntax"]
    assert report("import jsonschema")["slow"] == ["lark", "rfc3987_syntax"]

"""The exit code of a verdict: what tells a scheduler whether to try again.

One table for a run and for a single notebook; errors that end a command carry theirs in their class (`errors.py`).
"""

from __future__ import annotations

from rasen.errors import StepFailed, ValidationFailed
from rasen.tracking.records import Verdict

_INTERRUPTED_EXIT_CODE = 75  # as in sysexits.h: trying again may help
_EXIT_CODES = {
    Verdict.SUCCEEDED: 0,
    Verdict.VALIDATION_FAILED: ValidationFailed.exit_code,
    Verdict.INTERRUPTED: _INTERRUPTED_EXIT_CODE,
    Verdict.CANCELLED: 130,
}


def exit_code_of(verdict: Verdict) -> int:
    """Return the exit code of a command whose run, or notebook, ended with `verdict`."""
    return _EXIT_CODES.get(verdict, StepFailed.exit_code)

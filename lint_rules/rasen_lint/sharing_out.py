"""Shares the notebooks of a lint out among processes: reading Python is arithmetic that threads cannot share.

Forked by hand, with answers as JSON in a file: the pools of the standard library unpickle what comes back, which
nothing but `rasen.model.loading` does here, and a fork has everything imported already. A process that dies costs only
time: its notebooks are checked again by the one that asked.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import IO, Any

from rasen.notebook import Cell, Notebook
from rasen_lint.checking import Checked, Fault
from rasen_lint.context import Context
from rasen_lint.document import Document
from rasen_lint.finding import Finding, Fix, Severity

_PLAIN = tuple(field.name for field in fields(Finding) if field.name not in {"fix", "severity"})


def share_out(
    count: int, check: Callable[[int], Checked], *, processes: int, done: Callable[[int], None]
) -> list[Checked]:
    """Return `check(0)` to `check(count - 1)`, made by several processes.

    Args:
        count: How many there are.
        check: Checks the notebook with that number; what it answers comes back without trees, outputs and context.
        processes: How many processes, this one included.
        done: Told how many of `count` are checked, as far as this process knows.
    """
    children = [_start(range(number, count, processes), check) for number in range(1, processes)]
    results: dict[int, Checked] = {}
    for index in range(0, count, processes):
        results[index] = check(index)
        done(min(count, index + processes))
    for child, answers in children:
        with answers:
            results.update(_collect(child, answers))
    for index in range(count):
        if index not in results:
            results[index] = check(index)
    return [results[index] for index in range(count)]


def _start(indices: Sequence[int], check: Callable[[int], Checked]) -> tuple[int, IO[bytes]]:
    answers = tempfile.TemporaryFile()  # noqa: SIM115 - closed by whoever collects
    child = os.fork()
    if child:
        return child, answers
    # Nothing of the parent may run here a second time: no handler of its exit, no buffer of its output.
    status = 1
    try:
        for index in indices:
            answers.write(json.dumps([index, _to_json(check(index))]).encode() + b"\n")
        answers.flush()
        status = 0
    finally:
        os._exit(status)


def _collect(child: int, answers: IO[bytes]) -> dict[int, Checked]:
    _, status = os.waitpid(child, 0)
    if status != 0:
        return {}
    answers.seek(0)
    return {index: _from_json(each) for index, each in map(json.loads, answers)}


def _to_json(checked: Checked) -> dict[str, Any]:  # Any: JSON
    document = checked.document
    return {
        "path": checked.path,
        "problem": checked.problem,
        "faults": [[fault.code, fault.error, fault.place] for fault in checked.faults],
        "findings": [
            [
                [getattr(finding, name) for name in _PLAIN],
                finding.severity,
                None if finding.fix is None else _fix_to_json(finding.fix),
            ]
            for finding in checked.findings
        ],
        "document": None
        if document is None
        else {
            "name": document.notebook.name,
            "language": document.notebook.language,
            "cells": [[cell.id, cell.type, cell.source, cell.tags] for cell in document.notebook.cells],
        },
    }


def _from_json(data: Mapping[str, Any]) -> Checked:  # Any: JSON
    document = data["document"]
    return Checked(
        path=data["path"],
        problem=data["problem"],
        faults=tuple(Fault(code=code, error=error, place=place) for code, error, place in data["faults"]),
        findings=tuple(
            Finding(
                **dict(zip(_PLAIN, plain, strict=True)),
                severity=Severity(severity),
                fix=None if fix is None else _fix_from_json(fix),
            )
            for plain, severity, fix in data["findings"]
        ),
        document=None
        if document is None
        else Document(
            Notebook(
                name=document["name"],
                language=document["language"],
                cells=tuple(
                    Cell(index=index, id=identifier, type=kind, source=source, tags=tuple(tags))
                    for index, (identifier, kind, source, tags) in enumerate(document["cells"])
                ),
            ),
            {},
            context=Context(),
        ),
    )


def _fix_to_json(fix: Fix) -> dict[str, Any]:  # Any: JSON
    return {
        "title": fix.title,
        "sources": list(fix.sources.items()),
        "removed": sorted(fix.removed),
        "cleared": sorted(fix.cleared),
        "metadata": None if fix.metadata is None else dict(fix.metadata),
        "cell_metadata": [[cell, dict(metadata)] for cell, metadata in fix.cell_metadata.items()],
    }


def _fix_from_json(data: Mapping[str, Any]) -> Fix:  # Any: JSON
    return Fix(
        title=data["title"],
        sources=dict(data["sources"]),
        removed=frozenset(data["removed"]),
        cleared=frozenset(data["cleared"]),
        metadata=data["metadata"],
        cell_metadata=dict(data["cell_metadata"]),
    )

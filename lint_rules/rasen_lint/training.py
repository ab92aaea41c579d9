"""Which notebooks train a model for an endpoint, and what they tell the platform.

A training notebook is the notebook of a step that calls `rasen.publish`, or that is the only step of a pipeline without
tables and so has to. Notebooks that no pipeline names, gates and evaluations train nothing.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from rasen_lint.context import Role
from rasen_lint.document import Call, CodeCell, Document

_PUBLISH = ("rasen.publish", "rasen.sdk.publish")
_LOG_METRICS = ("rasen.log_metrics", "rasen.sdk.log_metrics")


def is_training(document: Document) -> bool:
    """Return whether a notebook trains a model for an endpoint."""
    context = document.context
    return context.role is Role.STEP and (context.only_step or uses_publish(document))


def publish_calls(document: Document) -> Sequence[Call]:
    """Return the calls of `rasen.publish`, in order."""
    return list(document.calls_of(*_PUBLISH))


def metric_calls(document: Document) -> Sequence[Call]:
    """Return the calls of `rasen.log_metrics`, in order."""
    return list(document.calls_of(*_LOG_METRICS))


def uses_publish(document: Document) -> bool:
    """Return whether `rasen.publish` is called, or handed on to something that may call it."""
    return _uses(document, _PUBLISH)


def uses_metrics(document: Document) -> bool:
    """Return whether `rasen.log_metrics` is called, or handed on to something that may call it."""
    return _uses(document, _LOG_METRICS)


def logged_metrics(document: Document) -> frozenset[str] | None:
    """Return the names of the metrics that a notebook logs, or `None` where they are not all written out."""
    calls = metric_calls(document)
    if len(calls) != sum(1 for _ in _references(document, _LOG_METRICS)):
        return None
    keywords = [keyword.arg for call in calls for keyword in call.node.keywords]
    if None in keywords:  # `**metrics`
        return None
    return frozenset(name for name in keywords if name is not None and name != "slice")


def _uses(document: Document, names: Sequence[str]) -> bool:
    if any(True for _ in document.calls_of(*names)) or any(True for _ in _references(document, names)):
        return True
    return "rasen" in document.names.star_modules


def _references(document: Document, names: Sequence[str]) -> Iterator[tuple[CodeCell, ast.expr]]:
    """Yield wherever one of these names stands in the code, called or not."""
    last = {name.rpartition(".")[2] for name in names}
    for code_cell in document.code_cells:
        nodes = code_cell.nodes
        attributes = [node for node in nodes.of(ast.Attribute) if node.attr in last]
        plain = [node for node in nodes.of(ast.Name) if isinstance(node.ctx, ast.Load)]
        for node in (*attributes, *plain):
            if document.names.full_name(node, cell=code_cell.cell.index) in names:
                yield code_cell, node

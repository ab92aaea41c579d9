"""Two versions of a notebook compared: what became of each cell, of the parameters and of the kernel."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from rasen.errors import RasenError
from rasen.notebook import Cell
from rasen.parameter_types import JsonValue
from rasen.parameters import Parameter, notebook_parameters
from rasen.review.content import Content
from rasen.review.matching import match_cells
from rasen.review.outputs import Output, read_outputs, same_outputs


class CellState(StrEnum):
    """What became of a cell."""

    SAME = "same"
    CHANGED = "changed"
    ADDED = "added"
    REMOVED = "removed"
    MOVED = "moved"
    OUTPUTS = "outputs"


@dataclass(frozen=True, kw_only=True)
class Side:
    """One version of a cell; `raw_outputs` are as nbformat has them."""

    cell: Cell
    raw_outputs: tuple[dict[str, Any], ...]  # Any: JSON of nbformat
    attachments: dict[str, str]

    @property
    def outputs(self) -> tuple[Output, ...]:
        """What is shown of its outputs; worked out each time, because of most cells nobody asks."""
        return read_outputs(self.raw_outputs)


@dataclass(frozen=True, kw_only=True)
class CellChange:
    """A cell before and after; `moved` may be true of a changed one as well."""

    state: CellState
    old: Side | None
    new: Side | None
    moved: bool
    outputs_changed: bool


@dataclass(frozen=True, kw_only=True)
class ParameterChange:
    """A parameter whose default or annotation differs; a side is `None` where there is no such parameter."""

    name: str
    old_annotation: str | None
    old_default: JsonValue
    new_annotation: str | None
    new_default: JsonValue


@dataclass(frozen=True, kw_only=True)
class NotebookChange:
    """What differs between two versions; a side that is absent has no cells, one that cannot be read has a problem."""

    cells: tuple[CellChange, ...]
    parameters: tuple[ParameterChange, ...]
    kernel: tuple[str, str] | None
    old_problem: str | None
    new_problem: str | None

    @property
    def counts(self) -> dict[CellState, int]:
        """How many cells there are of each state, without those that are the same."""
        counts = dict.fromkeys((state for state in CellState if state is not CellState.SAME), 0)
        for cell in self.cells:
            if cell.state is not CellState.SAME:
                counts[cell.state] += 1
        return {state: count for state, count in counts.items() if count}

    @property
    def is_real(self) -> bool:
        """Whether anything but outputs differs."""
        return bool(
            self.counts.keys() - {CellState.OUTPUTS}
            or self.parameters
            or self.kernel
            or self.old_problem
            or self.new_problem
        )


def compare_contents(old: Content | None, new: Content | None) -> NotebookChange:
    """Compare two versions; `None` is a notebook that is not there."""
    before, after = old or Content(), new or Content()
    both = old is not None and new is not None and before.notebook is not None and after.notebook is not None
    return NotebookChange(
        cells=tuple(_compare_cells(before, after)),
        parameters=tuple(_compare_parameters(before, after)) if both else (),
        kernel=(before.kernel, after.kernel) if both and before.kernel != after.kernel else None,
        old_problem=before.problem,
        new_problem=after.problem,
    )


def _compare_cells(old: Content, new: Content) -> list[CellChange]:
    found = []
    for pair in match_cells(old.cells, new.cells):
        before = _side(old, pair.old)
        after = _side(new, pair.new)
        changed = (
            before is not None
            and after is not None
            and before.raw_outputs != after.raw_outputs
            and not same_outputs(before.outputs, after.outputs)
        )
        found.append(
            CellChange(
                state=_state(before, after, moved=pair.moved, outputs_changed=changed),
                old=before,
                new=after,
                moved=pair.moved,
                outputs_changed=changed,
            )
        )
    return found


def _side(content: Content, index: int | None) -> Side | None:
    if index is None:
        return None
    return Side(
        cell=content.cells[index],
        raw_outputs=content.outputs[index],
        attachments=content.attachments[index],
    )


def _state(old: Side | None, new: Side | None, *, moved: bool, outputs_changed: bool) -> CellState:
    if old is None:
        return CellState.ADDED
    if new is None:
        return CellState.REMOVED
    before, after = old.cell, new.cell
    if (before.source, before.type, sorted(before.tags)) != (after.source, after.type, sorted(after.tags)):
        return CellState.CHANGED
    if old.attachments != new.attachments:
        return CellState.CHANGED
    if moved:
        return CellState.MOVED
    return CellState.OUTPUTS if outputs_changed else CellState.SAME


def _compare_parameters(old: Content, new: Content) -> list[ParameterChange]:
    before, after = _parameters(old), _parameters(new)
    found = []
    for name in dict.fromkeys([*before, *after]):
        first, second = before.get(name), after.get(name)
        if (
            first is None
            or second is None
            or (first.annotation, repr(first.default)) != (second.annotation, repr(second.default))
        ):
            found.append(
                ParameterChange(
                    name=name,
                    old_annotation=first.annotation if first else None,
                    old_default=first.default if first else None,
                    new_annotation=second.annotation if second else None,
                    new_default=second.default if second else None,
                )
            )
    return found


def _parameters(content: Content) -> dict[str, Parameter]:
    """Return the parameters by name; a cell that declares none properly is the linter's to speak of."""
    if content.notebook is None:
        return {}
    try:
        return {one.name: one for one in notebook_parameters(content.notebook)}
    except RasenError:
        return {}

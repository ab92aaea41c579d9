"""What `rasen run` shows while a run is worked on: a picture of the DAG on a terminal, plain lines everywhere else.

The picture is drawn from events, which the runner hands over, and from the live records in the store, which a thread
reads. So a step on another machine is shown like one on this.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Protocol, Self

from rich.cells import cell_len, set_cell_size
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from rasen.batch.live import read_live
from rasen.batch.plain_text import clean_line
from rasen.batch.run_events import RunEvent
from rasen.cli.output import COLOURS, console, show_bytes, show_duration
from rasen.cli.plain_view import PlainView, tell
from rasen.cli.run_board import RunBoard, StepState
from rasen.errors import RasenError
from rasen.store import Store
from rasen.tracking.records import LiveStep, Verdict

_READ_SECONDS = 0.5
_FRAMES_PER_SECOND = 8
_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_ASCII_SPINNER = "|/-\\"
_MARKS = {"waiting": "·", "pausing": "↻", "skipped": "–", "reused": "↩", "succeeded": "✓", "other": "✗"}
_ASCII_MARKS = {"waiting": ".", "pausing": "~", "skipped": "-", "reused": "<", "succeeded": "+", "other": "x"}
_NAME_MOST = 40
_SUMMARY_MOST = 100  # lines that stay in the scrollback
# What is left out first on a narrow terminal: below this width there is no last line, and no memory.
_WIDTH_WITH_LINE = 60
_WIDTH_WITH_MEMORY = 44


class RunView(Protocol):
    """Whoever shows a run that is being worked on."""

    def observe(self, event: RunEvent) -> None:
        """Take in what happened."""


class SilentView:
    """Shows nothing: the answer is one JSON document at the end."""

    def observe(self, event: RunEvent) -> None:
        """Take in what happened."""


@contextmanager
def open_view(store: Store, *, as_json: bool, out: Console | None = None) -> Iterator[RunView]:
    """Give the view that fits what the answer goes to; it ends with the context and leaves the terminal as it was.

    Args:
        store: Where the steps say how far they are.
        as_json: The answer is for a program, which wants one document at the end.
        out: Where to show; by default the console of all answers.
    """
    out = out or console()
    if as_json:
        yield SilentView()
    elif out.is_terminal and not out.is_dumb_terminal:
        with LiveView(store, out) as live:
            yield live
    else:
        with PlainView(store, out) as plain:
            yield plain


class LiveView:
    """The DAG on a terminal, one line a step; in the end it stays in the scrollback as it was last.

    Args:
        store: Where the steps say how far they are.
        out: A terminal.
        clock: Seconds; for tests.
    """

    def __init__(self, store: Store, out: Console, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.board = RunBoard(clock=clock)
        self._store = store
        self._out = out
        self._clock = clock
        self._drawing = Drawing(ascii_only=out.options.ascii_only)
        self._live = Live(
            get_renderable=self._draw,
            console=out,
            refresh_per_second=_FRAMES_PER_SECOND,
            transient=True,
            vertical_overflow="crop",
        )
        self._stop = threading.Event()
        self._reader = threading.Thread(target=self._read, name="rasen-view", daemon=True)

    def __enter__(self) -> Self:
        self._live.start()
        self._reader.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._stop.set()
        # Whatever is pressed now must not leave the terminal without a cursor.
        try:
            self._live.stop()
        finally:
            self._out.show_cursor(show=True)
        if self.board.steps:
            self._out.print(self._drawing.summary(self.board, width=self._out.width))

    def observe(self, event: RunEvent) -> None:
        """Take in what happened; what is not in the picture is written above it."""
        self.board.observe(event)
        with self.board.lock:
            line = tell(event, self.board, only_notable=True)
        if line is not None:
            self._out.print(line, soft_wrap=True)

    def _draw(self) -> RenderableType:
        if not self.board.steps:
            return Text("")
        size = self._out.size
        return self._drawing.picture(self.board, width=size.width, height=size.height)

    def _read(self) -> None:
        while not self._stop.wait(_READ_SECONDS):
            if self.board.running():
                with suppress(RasenError, OSError):  # what cannot be read now is read the next time
                    self.board.refresh(read_live(self._store, self.board.pipeline, self.board.run))


class Drawing:
    """How a board looks on a terminal."""

    def __init__(self, *, ascii_only: bool) -> None:
        self._spinner = _ASCII_SPINNER if ascii_only else _SPINNER
        self._marks = _ASCII_MARKS if ascii_only else _MARKS
        self._ascii_only = ascii_only

    def picture(self, board: RunBoard, *, width: int, height: int) -> RenderableType:
        """Return the board as it is while the run goes on, in at most `height` lines."""
        now = board.clock()
        with board.lock:
            shown = _most_telling(list(board.steps.values()), max(1, height - 4))
            name_width = _name_width(shown, width)
            lines = [self._head(board, now)]
            lines += [self._line(state, now, name_width=name_width, width=width) for state in shown]
            hidden = len(board.steps) - len(shown)
            if hidden:
                lines.append(Text(f"  and {hidden} more steps", style="dim"))
            if board.stopping:
                lines.append(Text(f"  stopping: {clean_line(board.stopping)}", style="yellow"))
        return Group(*(self._fit(line, width) for line in lines[: max(1, height - 1)]))

    def summary(self, board: RunBoard, *, width: int) -> RenderableType:
        """Return what stays: every step, as it was last, without anything that moves."""
        now = board.clock()
        with board.lock:
            states = list(board.steps.values())
            name_width = _name_width(states, width)
            lines = [
                self._line(state, now, name_width=name_width, width=width, over=True) for state in states
            ]
            totals = ", ".join(f"{count} {name}" for name, count in board.totals().items())
            took = show_duration(now - board.began) if board.began is not None else ""
            lines.append(Text(f"{totals} in {took}", style="dim"))
        return Group(*(self._fit(line, width) for line in lines))

    def _head(self, board: RunBoard, now: float) -> Text:
        done = sum(state.state not in ("waiting", "running", "pausing") for state in board.steps.values())
        took = show_duration(now - board.began) if board.began is not None else ""
        using = sum(state.live.memory_bytes for state in board.steps.values() if state.live is not None)
        memory = f"  {show_bytes(using)}" if using else ""
        head = Text(clean_line(board.pipeline), style="bold")
        said = f"  {board.run}  {done} of {len(board.steps)} steps  {took}{memory}"
        return head.append(said, style="not bold dim")

    def _line(self, state: StepState, now: float, *, name_width: int, width: int, over: bool = False) -> Text:
        verdict = state.verdict
        style = COLOURS.get(verdict, "red") if verdict is not None else _style(state)
        name = " " * state.depth + clean_line(state.step)
        line = Text(self._mark(state, now, over=over), style=style)
        line.append(" " + set_cell_size(name, name_width), style="bold" if state.state == "running" else "")
        line.append("  " + self._word(state, now, over=over), style=style)
        live = state.live if not over else None
        if width >= _WIDTH_WITH_MEMORY and (memory := _memory(state, live)):
            line.append(f"  {memory}", style="dim")
        if state.attempt > 1:
            line.append(f"  attempt {state.attempt}", style="yellow")
        if width >= _WIDTH_WITH_LINE and (last := _last(state, live)):
            line.append(f"  {last}", style="dim" if verdict in (None, Verdict.SUCCEEDED) else "")
        return line

    def _mark(self, state: StepState, now: float, *, over: bool) -> str:
        if state.state == "running" and not over:
            return self._spinner[int(now * _FRAMES_PER_SECOND) % len(self._spinner)]
        if state.state == "ended":
            return self._marks["succeeded" if state.verdict is Verdict.SUCCEEDED else "other"]
        return self._marks.get(state.state, self._marks["waiting"])

    def _word(self, state: StepState, now: float, *, over: bool) -> str:
        match state.state:
            case "running":
                took = show_duration(now - state.began if state.began is not None else 0.0)
                if over:
                    return f"was running {took}"
                return f"{_where(state.live)}  {took}"
            case "ended":
                assert state.result is not None
                return f"{state.result.verdict.value}  {show_duration(state.result.seconds)}"
            case "reused":
                return f"reused from {state.reused_from}"
            case "pausing":
                assert state.result is not None
                return f"{state.result.verdict.value}, tried again soon"
            case _:
                return str(state.state)

    def _fit(self, line: Text, width: int) -> Text:
        line.no_wrap = True
        line.truncate(max(1, width - 1), overflow="crop" if self._ascii_only else "ellipsis")
        return line


def _where(live: LiveStep | None) -> str:
    if live is None or live.phase == "preparing":
        return "preparing"
    if live.phase == "uploading":
        return "uploading"
    if live.cell is None:
        return "running"
    return f"cell {live.cell + 1}/{live.cells}"


def _memory(state: StepState, live: LiveStep | None) -> str:
    if live is not None and live.memory_bytes:
        return show_bytes(live.memory_bytes)
    if state.state == "ended" and state.result is not None and state.result.peak_bytes:
        return show_bytes(state.result.peak_bytes)
    return ""


def _last(state: StepState, live: LiveStep | None) -> str:
    """Return the last line of output, or of what ended: the metrics, or the error."""
    if live is not None:
        return clean_line(live.last_line)
    result = state.result
    if result is None or state.state not in ("ended", "pausing"):
        return ""
    if result.error is not None:
        return clean_line(f"{result.error.name}: {result.error.message}")
    return clean_line(
        "  ".join(f"{metric.name} {metric.value:.4g}" for metric in result.metrics if not metric.slice)
    )


def _style(state: StepState) -> str:
    return {"running": "cyan", "pausing": "yellow", "reused": "green"}.get(state.state, "dim")


def _name_width(states: list[StepState], width: int) -> int:
    longest = max((cell_len(state.step) + state.depth for state in states), default=0)
    return min(longest, _NAME_MOST, max(4, width // 3))


def _most_telling(states: list[StepState], most: int) -> list[StepState]:
    """Return at most `most` steps in their order: those that run first, then what failed, what ended last, the rest."""
    if len(states) <= most:
        return states
    rank = {"running": 0, "pausing": 0, "waiting": 2, "skipped": 3, "reused": 4}

    def key(place: int) -> tuple[int, int]:
        state = states[place]
        if state.state == "ended":
            return (3, -place) if state.verdict is Verdict.SUCCEEDED else (1, place)
        return rank[state.state], place

    kept = sorted(range(len(states)), key=key)[:most]
    return [states[place] for place in sorted(kept)]

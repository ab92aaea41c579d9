"""Has versions answer rows, each in a process of its own: a model that hangs or ends it is that version's error.

What is verified here (`versions.py`) is copied into a folder that only this user may enter, its digests checked on the
way and once more by the process that unpickles. The processes are forks of the warm process where there is one.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rasen.batch.zygote_client import start_module
from rasen.errors import ModelFailed, NotFound, ObjectNotFound, RasenError
from rasen.replay.calls import AskedRow, Call, plan_calls
from rasen.replay.versions import Ledger, NamedVersion, VerifiedVersion
from rasen.replay.worker import ANSWERS_FILE, JOB_FILE, ROWS_FILE
from rasen.settings import Settings, child_environment

_ROLES = ("model", "example", "profile", "onnx")
_AT_ONCE = 2
_SAID_BYTES = 2000
DEFAULT_SECONDS = 120.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What one row got: a JSON value, or why there is none."""

    value: Any = None  # Any: JSON
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class Question:
    """Rows for one version."""

    version: NamedVersion
    rows: Sequence[AskedRow]


@dataclass(frozen=True, kw_only=True)
class Answered:
    """What became of one question.

    Args:
        version: Who was asked.
        answers: One a row, in the rows' order.
        failure: Why the version answers nothing at all, or not everything; `None` when it was asked for each row.
        loaded: Whether the model could be loaded.
        notes: What a reader should know: libraries that differ, an example that is answered otherwise.
        engines: How many rows each engine executed.
        seconds: How long it took, loading included.
    """

    version: NamedVersion
    answers: list[Answer]
    failure: RasenError | None = None
    loaded: bool = False
    notes: list[str] = field(default_factory=list)
    engines: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0


class Asking:
    """One version at work."""

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        question: Question,
        *,
        seconds: float,
        exact: bool,
        verified: VerifiedVersion | None = None,
    ) -> None:
        """Start it; what goes wrong is told by `wait`."""
        self.question = question
        self._began = time.monotonic()
        self._seconds = seconds
        self._stack = ExitStack()
        self._failure: RasenError | None = None
        self._calls: list[Call] = []
        try:
            found = ledger.verify(question.version) if verified is None else verified
            folder = tempfile.TemporaryDirectory(prefix="rasen-replay-")
            self._folder = Path(self._stack.enter_context(folder))
            self._calls = plan_calls(
                question.rows, row_wise=found.model.qualification.row_wise is True, exact=exact
            )
            self._prepare(ledger, found)
            said = self._stack.enter_context((self._folder / "said.txt").open("wb"))
            self._process = start_module(
                settings,
                "rasen.replay.worker",
                [str(self._folder)],
                environment=child_environment(),
                cwd=self._folder,
                stdout=said,
                stderr=subprocess.STDOUT,
            )
            self._stack.callback(self._process.close)
        except RasenError as error:
            self._failure = error
            self._stack.close()
        except BaseException:
            self._stack.close()
            raise

    def close(self) -> None:
        """End the process and remove its folder."""
        self._stack.close()

    def wait(self) -> Answered:
        """Return the answers, and end the process when it takes longer than it may."""
        version = self.question.version
        if self._failure is not None:
            return Answered(
                version=version,
                answers=[Answer(problem=str(self._failure))] * len(self.question.rows),
                failure=self._failure,
            )
        code: int | None = None
        try:
            code = self._process.wait(max(0.0, self._began + self._seconds - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._process.close()
        try:
            return self._read(code)
        finally:
            self.close()

    def _prepare(self, ledger: Ledger, found: VerifiedVersion) -> None:
        files: dict[str, Any] = {}  # Any: JSON
        for role in _ROLES:
            file = found.model.files.get(role)
            if file is None:
                continue
            try:
                ledger.store.download(file.key, self._folder / role, sha256=file.sha256)
            except ObjectNotFound:
                raise NotFound(
                    f"version {found.named.label} of {ledger.endpoint!r} is gone: its file {file.key!r} was removed"
                ) from None
            files[role] = {"key": role, "sha256": file.sha256, "size_bytes": file.size_bytes}
        job = {
            "files": files,
            "schema": found.model.schema_,
            "versions": found.manifest.versions,
            "engines": found.model.qualification.usable_engines,
            "row_wise": found.model.qualification.row_wise is True,
            "calls": [(call.rows, call.engine, call.size) for call in self._calls],
        }
        (self._folder / JOB_FILE).write_text(json.dumps(job), encoding="utf-8")
        rows = ",\n".join(row.text for row in self.question.rows)
        (self._folder / ROWS_FILE).write_text(f"[{rows}]", encoding="utf-8")

    def _read(self, code: int | None) -> Answered:
        """Put together what the process has left, whether it came to its end or not."""
        version, rows = self.question.version, self.question.rows
        path = self._folder / ANSWERS_FILE
        lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
        said = [json.loads(line) for line in lines]
        answers: list[Answer | None] = [None] * len(rows)
        engines: Counter[str] = Counter()
        notes: list[str] = []
        loaded = False
        done = 0
        failure: RasenError | None = None
        for line in said:
            if "failed" in line:
                failure = ModelFailed(str(line["failed"]))
            elif "loaded" in line:
                loaded = True
                if line["differing"]:
                    notes.append(f"libraries of other versions than when it was made: {line['differing']}")
            elif "example" in line:
                if line["example"]:
                    notes.append(f"it answers its published example otherwise here: {line['example']}")
            else:
                call = self._calls[done]
                done += 1
                engines[line["engine"]] += len(call.rows)
                if line["engine"] != call.engine and call.engine != "chosen":
                    note = f"the engine {call.engine!r} cannot be had here; {line['engine']!r} answered"
                    notes += [note] if note not in notes else []
                for index, position in enumerate(call.rows):
                    problem = line["faults"].get(str(index), "")
                    answers[position] = Answer(value=line["answers"][index], problem=problem)
        if failure is None and (code != 0 or done < len(self._calls)):
            failure = ModelFailed(self._describe_end(code, loaded=loaded, done=done))
        return Answered(
            version=version,
            answers=[Answer(problem=str(failure)) if one is None else one for one in answers],
            failure=failure,
            loaded=loaded,
            notes=notes,
            engines=dict(engines),
            seconds=time.monotonic() - self._began,
        )

    def _describe_end(self, code: int | None, *, loaded: bool, done: int) -> str:
        stage = "while it was loaded"
        if loaded and done < len(self._calls):
            call = self._calls[done]
            where = f"row {call.rows[0]}"
            if len(call.rows) > 1:
                where = f"one of the {len(call.rows)} rows from row {call.rows[0]} on"
            stage = f"while it was asked for {where} ({self.question.rows[call.rows[0]].text[:200]})"
        if code is None:
            return f"version {self.question.version.label} did not answer within {self._seconds:g} s: it hung {stage}"
        ended = f"was killed by signal {-code}" if code < 0 else f"ended with {code}"
        text = f"the process of version {self.question.version.label} {ended} {stage}"
        said = (self._folder / "said.txt").read_bytes()[-_SAID_BYTES:].decode(errors="replace").strip()
        last = said.splitlines()[-1] if said else ""
        return f"{text}: {last}" if last else text


def ask_versions(
    settings: Settings,
    ledger: Ledger,
    questions: Sequence[Question],
    *,
    seconds: float = DEFAULT_SECONDS,
    exact: bool = False,
) -> list[Answered]:
    """Ask each version, two at a time, and return what became of each question in their order.

    Args:
        settings: Whether there is a warm process.
        ledger: Where the versions are.
        questions: Rows and who is asked for them.
        seconds: How long one version may take, loading included.
        exact: Whether the model itself is called with as many rows as when it answered; slow.
    """
    found: list[Answered] = []
    waiting = list(questions)
    at_work: list[Asking] = []
    try:
        while waiting or at_work:
            while waiting and len(at_work) < _AT_ONCE:
                at_work.append(Asking(settings, ledger, waiting.pop(0), seconds=seconds, exact=exact))
            found.append(at_work[0].wait())
            del at_work[0]
    finally:
        for one in at_work:
            one.close()
    return found

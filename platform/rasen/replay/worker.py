"""`python -m rasen.replay.worker FOLDER`: one version answers rows, in a process that is given nothing else.

Like the process of a qualification it has no store, no key and no setting: the folder holds `job.json`, the rows, and
the version's files, whose digests a verified manifest named; they are checked again on the very bytes that are
unpickled. A line of `answers.jsonl` is written for each call as soon as it is answered, so when a model hangs or ends
this process, whoever started it knows at which row, and keeps what was answered before.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rasen.errors import InvalidInput, ModelFailed, RasenError
from rasen.model import fallback
from rasen.model.engines import Columns, Engine, NativeEngine, choose_engines, make_engines
from rasen.model.frames import to_values
from rasen.model.judge import read_rows, refuse_any
from rasen.model.loading import LoadedModel, assemble, check_digest, differing_versions
from rasen.model.predictions import difference, predict, to_json
from rasen.model.request_errors import InvalidRows, describe_fields
from rasen.replay.calls import CHOSEN, NATIVE, PROFILE
from rasen.tracking.records import FileRecord

JOB_FILE, ROWS_FILE, ANSWERS_FILE = "job.json", "rows.json", "answers.jsonl"

Row = Mapping[str, Any]  # Any: JSON values


class Answerer:
    """A loaded version, and what executes it."""

    def __init__(
        self, loaded: LoadedModel, *, engines: Sequence[str], onnx: bytes | None, row_wise: bool
    ) -> None:
        """Take a version.

        Args:
            loaded: The model with what was published beside it.
            engines: What the qualification found equal to the model.
            onnx: The graph that it was converted to, its digest checked.
            row_wise: Whether a call that fails may be halved.
        """
        self._loaded = loaded
        self._names = loaded.schema.names
        self._engines = tuple(engines) if row_wise else ()
        self._onnx = onnx
        self._row_wise = row_wise
        self._made: dict[str, Engine] | None = None
        self._native = NativeEngine(loaded.model, loaded.schema)
        self._chosen: Any = None  # Any: `Engines`, measured when the first call wants it

    def example_differs(self) -> str | None:
        """Say where the answers to the published example are others than then, `None` when nowhere.

        Raises:
            ModelFailed: The model does not answer it at all.
        """
        answers = predict(self._loaded.model, self._loaded.example, self._loaded.schema.output)
        return difference(answers, self._loaded.predictions)

    def answer(
        self, rows: Sequence[Row], engine: str, *, size: int = 0
    ) -> tuple[list[Any], dict[int, str], str]:
        """Ask for rows in one call; rows at fault get a reason, the others an answer.

        Args:
            rows: The inputs.
            engine: What shall execute the call.
            size: How many rows the call shall have, 0 for as many as there are.

        Returns:
            One JSON value a row, `None` for those without; the reasons by row; and what executed it.
        """
        if engine == PROFILE:
            return self._ask_profile(rows)
        found = self._engine(engine, max(size, len(rows)))
        asked = [*rows, *(rows[index % len(rows)] for index in range(size - len(rows)))]
        try:
            return to_json(found.predict(self._columns(asked)))[: len(rows)], {}, found.name
        except (InvalidInput, ModelFailed) as error:
            if len(rows) == 1 or not self._row_wise:
                reason = self._explain(rows, error)
                return [None] * len(rows), dict.fromkeys(range(len(rows)), reason), found.name
        middle = len(rows) // 2
        first, faults, _ = self.answer(rows[:middle], engine)
        second, more, _ = self.answer(rows[middle:], engine)
        return [*first, *second], faults | {middle + row: why for row, why in more.items()}, found.name

    def _engine(self, name: str, rows: int) -> Engine:
        if name == CHOSEN and self._engines:
            if self._chosen is None:
                self._chosen = choose_engines(
                    self._engines,
                    self._loaded.model,
                    self._loaded.schema,
                    onnx=self._onnx,
                    example=to_values(self._loaded.schema, self._loaded.example),
                    answers=self._loaded.predictions,
                )
            chosen: Engine = self._chosen.for_rows(rows)
            return chosen
        if name in (CHOSEN, NATIVE) or name not in self._engines:
            return self._native
        if self._made is None:
            made = make_engines(self._loaded.model, self._loaded.schema, onnx=self._onnx)
            self._made = {engine.name: engine for engine in made}
        return self._made.get(name, self._native)

    def _columns(self, rows: Sequence[Row]) -> Columns:
        width = len(self._names)
        try:
            if all(len(row) == width for row in rows):
                return {name: [row[name] for row in rows] for name in self._names}
        except (KeyError, TypeError):  # a column is missing, or a row is no object: said below
            pass
        columns: dict[str, Sequence[object]] = {}
        problems = read_rows(self._loaded.schema, list(rows), columns, max_rows=len(rows), check_values=False)
        refuse_any(self._loaded.schema, problems)
        return columns

    def _explain(self, rows: Sequence[Row], error: InvalidInput | ModelFailed) -> str:
        """Say what is wrong in the words of serving: each field by its path."""
        if isinstance(error, ModelFailed):
            return f"failed: {error}"
        schema = self._loaded.schema
        try:
            refuse_any(schema, read_rows(schema, list(rows), {}, max_rows=len(rows)))
        except InvalidRows as refusal:
            return f"refused: {describe_fields(refusal.fields, most=3)}"
        return f"refused: {error}"

    def _ask_profile(self, rows: Sequence[Row]) -> tuple[list[Any], dict[int, str], str]:
        profile, output = self._loaded.profile, self._loaded.schema.output
        if profile is None or not fallback.can_answer(output):
            reason = "failed: the version has no profile that could answer"
            return [None] * len(rows), dict.fromkeys(range(len(rows)), reason), PROFILE
        columns = {name: [row.get(name) for row in rows] for name in self._names}
        return to_json(fallback.answer(profile, columns, rows=len(rows), output=output)), {}, PROFILE


def main(arguments: list[str] | None = None) -> int:
    """Answer the rows in the folder; return 0 when each call was made, 1 when the version could not be loaded."""
    folder = Path((arguments if arguments is not None else sys.argv[1:])[0])
    descriptor = os.open(folder / ANSWERS_FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def say(**fields: Any) -> None:  # Any: JSON
        os.write(descriptor, json.dumps(fields).encode() + b"\n")

    try:
        job = json.loads((folder / JOB_FILE).read_bytes())
        answerer = _load(folder, job, say)
    except RasenError as error:
        say(failed=str(error), kind=type(error).__name__)
        return 1
    rows = json.loads((folder / ROWS_FILE).read_bytes())
    for positions, engine, size in job["calls"]:
        answers, faults, used = answerer.answer([rows[position] for position in positions], engine, size=size)
        say(answers=answers, faults=faults, engine=used)
    return 0


def _load(folder: Path, job: dict[str, Any], say: Any) -> Answerer:  # Any: JSON, and a function of JSON
    began = time.perf_counter()
    files = {role: FileRecord.model_validate(file) for role, file in job["files"].items()}
    try:
        loaded = assemble(files, job["schema"], lambda file: (folder / file.key).read_bytes())
    except ModelFailed as error:
        differing = differing_versions(job["versions"])
        raise ModelFailed(f"{error}{f' ({differing})' if differing else ''}") from error
    onnx = None
    if "onnx" in files:
        onnx = (folder / files["onnx"].key).read_bytes()
        check_digest(onnx, sha256=files["onnx"].sha256, what="the ONNX graph")
    answerer = Answerer(loaded, engines=job["engines"], onnx=onnx, row_wise=job["row_wise"])
    say(loaded=True, seconds=time.perf_counter() - began, differing=differing_versions(job["versions"]))
    try:
        differs = answerer.example_differs()
    except ModelFailed as error:
        differs = str(error)
    say(example=differs or "")
    return answerer


if __name__ == "__main__":
    sys.exit(main())

"""ruff's own findings about notebooks, beside ours: one process for all notebooks, started before our walk.

ruff reads `.ipynb` by itself, obeys the project's own configuration (`[tool.ruff]`, `per-file-ignores` of `*.ipynb`)
and understands `# noqa` of its codes. JSON is asked for because it alone tells the cell. What cannot be meant of
notebooks, or what a rule of ours judges better, is left out here (`NOT_FOR_NOTEBOOKS`), unless somebody selects that
very code.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from rasen_lint.configuration import FILE as PROJECT
from rasen_lint.document import Document
from rasen_lint.file_cache import FileCache
from rasen_lint.finding import Finding, Fix, Severity
from rasen_lint.ruff_rules import ruff_command

NOT_FOR_NOTEBOOKS: Mapping[str, str] = {
    "B018": "a cell's last expression is what it shows",
    "D1": "a notebook's headings are its documentation",
    "E402": "NB106 judges where imports stand in a notebook",
    "F821": "NB208 and NB212 tell a name that is defined later from one that never is",
    "INP001": "a notebook is no module of a package",
    "S311": "a model's random numbers need a seed (NB209), not cryptography",
    "T20": "what a cell prints is its result (NB107 counts)",
    "W292": "a cell does not end with a line break",
}
"""Beginnings of ruff's codes that are left out, with the reason."""

CRASHES = frozenset({"F501", "F502", "F503", "F505", "F506", "F509", "F521", "F524", "F525", "F633", "F823"})
"""Codes of ruff that are errors, because the line fails whenever it runs; everything else of ruff is a warning.

F507 is not among them: `"text" % numpy.int64(3)` gives the text, because numpy's numbers look like mappings.
"""

DEFAULT_SELECT = ("B006", "B023", "E4", "E7", "E9", "F", "PLE", "W6")
"""What ruff is asked for where a project has no ruff configuration: what breaks or misleads, no matter of taste."""

_ABOUT_NOQA = frozenset({"RUF100", "RUF101", "RUF102"})
_OUR_CODE = re.compile(r"\bNB\d")
_CONFIGURATIONS = ("ruff.toml", ".ruff.toml")
_SYNTAX = "invalid-syntax"
_PATHS_A_PROCESS = 2000


@dataclass(frozen=True, kw_only=True)
class RuffAnswer:
    """What ruff found, by resolved path; `problem` says why it found nothing."""

    found: Mapping[str, Sequence[Mapping[str, Any]]]  # Any: JSON of ruff
    problem: str | None = None


class RuffRun:
    """A ruff at work. What it reads and answers are files, so that neither side ever waits for the other."""

    def __init__(self, commands: Sequence[Sequence[str]], *, data: bytes | None = None) -> None:
        self._started: list[tuple[subprocess.Popen[bytes], IO[bytes], IO[bytes]]] = []
        with tempfile.TemporaryFile() as given:
            given.write(data or b"")
            for command in commands:
                given.seek(0)
                answer, complaint = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115 - join closes
                process = subprocess.Popen(command, stdin=given, stdout=answer, stderr=complaint)
                self._started.append((process, answer, complaint))

    def join(self) -> RuffAnswer:
        """Wait for the end and return the answer."""
        found: dict[str, list[Mapping[str, Any]]] = {}  # Any: JSON of ruff
        problem = None
        for process, answer, complaint in self._started:
            with answer, complaint:
                process.wait()
                answer.seek(0)
                complaint.seek(0)
                read = _read(process.returncode, answer.read(), complaint.read())
            problem = problem or read.problem
            for path, each in read.found.items():
                found.setdefault(path, []).extend(each)
        return RuffAnswer(found=found, problem=problem)


def start_ruff(paths: Sequence[Path], *, select: Sequence[str], isolated: bool) -> RuffRun | None:
    """Start ruff on notebooks on disk; `None` where it is not installed.

    Args:
        paths: The notebooks.
        select: The only codes, or their beginnings, to look for; empty for those of the configuration.
        isolated: There is no configuration.
    """
    program = ruff_command()
    if program is None:
        return None
    command = _command(program, select, isolated=isolated)
    parts = range(0, len(paths), _PATHS_A_PROCESS)
    return RuffRun([[*command, "--", *map(_key, paths[part : part + _PATHS_A_PROCESS])] for part in parts])


def start_ruff_on(data: bytes, path: Path, *, select: Sequence[str], isolated: bool) -> RuffRun | None:
    """Start ruff on the bytes of a notebook, as if they lay at `path`; `None` where it is not installed."""
    program = ruff_command()
    if program is None:
        return None
    command = _command(program, select, isolated=isolated)
    return RuffRun([[*command, "--stdin-filename", _key(path), "-"]], data=data)


class RuffConfigurations:
    """Knows which notebooks have a ruff configuration above them, as ruff looks for it.

    What a user has in the home directory does not count: CI would see other findings than they do.
    """

    def __init__(self) -> None:
        self._files: FileCache[bool] = FileCache()

    def exist_for(self, path: Path) -> bool:
        """Return whether one stands above a notebook."""
        for folder in Path(_key(path)).parents:
            if any(self._files.get(folder / name, _any_content) for name in _CONFIGURATIONS):
                return True
            if self._files.get(folder / PROJECT, _has_ruff_table):
                return True
        return False


def _any_content(_: Path, __: bytes) -> bool:
    return True


def _has_ruff_table(_: Path, data: bytes) -> bool:
    return re.search(rb"^\s*\[+\s*tool\s*\.\s*ruff\b", data, re.MULTILINE) is not None


def ruff_findings(
    answer: RuffAnswer, document: Document, path: Path, *, select: Iterable[str]
) -> list[Finding]:
    """Return ruff's findings about one notebook as ours are."""
    chosen = frozenset(select)
    found: list[Finding] = []
    told = False
    for each in answer.found.get(_key(path), ()):
        code = each.get("code") or each.get("name") or _SYNTAX
        if _left_out(code, chosen):
            continue
        if code == _SYNTAX:
            if not told and not any(code_cell.problem for code_cell in document.code_cells):
                found.append(_unreadable(each, document))  # else NB205 says it
            told = True
            continue
        finding = _finding(code, each, document)
        if finding is not None:
            found.append(finding)
    return found


def _command(program: str, select: Sequence[str], *, isolated: bool) -> list[str]:
    command = [program, "check", "--no-cache", "--exit-zero", "--quiet", "--force-exclude"]
    command += ["--output-format", "json", "--no-fix"]
    if isolated:
        command.append("--isolated")
        select = select or DEFAULT_SELECT
    return [*command, "--select", ",".join(select)] if select else command


def _read(returned: int, answer: bytes, complaint: bytes) -> RuffAnswer:
    try:
        found = json.loads(answer) if returned == 0 else None
    except ValueError:
        found = None
    if not isinstance(found, list):
        said = complaint.decode(errors="replace").strip()
        said = " ".join(said.split()) or f"exit code {returned}"
        return RuffAnswer(found={}, problem=f"ruff did not work, so its findings are missing: {said}")
    by_path: dict[str, list[Mapping[str, Any]]] = {}  # Any: JSON of ruff
    for each in found:
        by_path.setdefault(_key(Path(each["filename"])), []).append(each)
    return RuffAnswer(found=by_path)


def _key(path: Path) -> str:
    return os.path.abspath(path)  # noqa: PTH100 - as ruff does: `..` goes, symbolic links stay


def _left_out(code: str, chosen: frozenset[str]) -> bool:
    return code not in chosen and code.startswith(tuple(NOT_FOR_NOTEBOOKS))


def _finding(code: str, each: Mapping[str, Any], document: Document) -> Finding | None:  # Any: JSON of ruff
    cells = document.notebook.cells
    number = each.get("cell")
    if number is None or not 1 <= number <= len(cells) or cells[number - 1].type != "code":
        return None  # the file changed between its reading and ours, or is no notebook at all
    cell = cells[number - 1]
    lines = cell.source.split("\n")
    start, end = each["location"], each["end_location"]
    message = each["message"]
    fix = _fix(each, cell.source, cell.index)
    if code in _ABOUT_NOQA and _OUR_CODE.search(lines[min(start["row"], len(lines)) - 1]):
        # ruff takes our codes for mistakes, and its fix would take the whole comment away.
        if _OUR_CODE.search(message):
            return None
        fix = None
    return Finding(
        code=code,
        severity=Severity.ERROR if code in CRASHES else Severity.WARNING,
        message=message,
        cell=cell.index,
        cell_id=cell.id,
        line=min(start["row"], len(lines)),
        column=start["column"],
        end_line=min(end["row"], len(lines)),
        end_column=end["column"] if end["row"] <= len(lines) else len(lines[-1]) + 1,
        fix=fix,
        url=each.get("url"),
    )


def _unreadable(each: Mapping[str, Any], document: Document) -> Finding:  # Any: JSON of ruff
    """Say that ruff was no help, with the cell if it names one: it is stricter about notebooks than Jupyter is."""
    number = each.get("cell") or 0
    cell = document.notebook.cells[number - 1] if 1 <= number <= len(document.notebook.cells) else None
    return Finding(
        code=_SYNTAX,
        severity=Severity.WARNING,
        message=f"ruff cannot read this notebook, so its rules have not looked at it: {each['message']}",
        cell=None if cell is None else cell.index,
        cell_id=None if cell is None else cell.id,
        line=None if cell is None else min(each["location"]["row"], cell.source.count("\n") + 1),
    )


def _fix(each: Mapping[str, Any], source: str, cell: int) -> Fix | None:  # Any: JSON of ruff
    """Return ruff's fix if it is safe and surely means this cell.

    ruff tells the rows of an edit and not its cell; an import added at the top of the notebook looks like an edit of
    this cell's first line. So every edit has to lie within the lines of the finding, and an insertion within its very
    place.
    """
    fix = each.get("fix")
    if not fix or fix.get("applicability") != "safe":
        return None
    place = (_place(each["location"]), _place(each["end_location"]))
    edits = sorted(
        ((_place(edit["location"]), _place(edit["end_location"]), edit["content"]) for edit in fix["edits"]),
        reverse=True,
    )
    for start, end, _ in edits:
        touches = start[0] <= place[1][0] and place[0][0] <= end[0]
        if not touches or (start == end and not place[0] < start <= place[1]):
            return None
    ended = source.endswith("\n")
    lines = f"{source}\n".split("\n")
    offsets = [0]
    for line in lines:
        offsets.append(offsets[-1] + len(line) + 1)
    text = f"{source}\n"
    last = len(text)
    for start, end, content in edits:
        first, after = (
            min(offsets[min(row - 1, len(offsets) - 1)] + column - 1, last) for row, column in (start, end)
        )
        text = text[:first] + content + text[after:]
        last = first
    text = text.removesuffix("\n")
    text = text if ended else text.rstrip("\n")
    return Fix(title=fix.get("message") or "Apply ruff's fix", sources={cell: text})


def _place(location: Mapping[str, int]) -> tuple[int, int]:
    return location["row"], location["column"]
